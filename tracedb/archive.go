package tracedb

import (
	"fmt"
	"strings"

	"github.com/jaeger-tempo/tempo/tempodb/block"
)

// ArchiveTenant is the tenant that holds the archived traces of a tenant. They are kept whatever the retention. An archive is its own.
func ArchiveTenant(tenant string) string {
	if IsArchive(tenant) {
		return tenant
	}
	return tenant + archiveSuffix
}

// IsArchive reports whether tenant holds archived traces.
func IsArchive(tenant string) bool { return strings.HasSuffix(tenant, archiveSuffix) }

// archiveSuffix can't be in the name of a tenant that a user chooses.
const archiveSuffix = "~archive"

// maxName leaves room for what marks an archive.
const maxName = 142

// CheckName returns an error unless a user may choose tenant as the name of a tenant: a folder in every store, no archive's, and with an archive
// that can be a folder too.
func CheckName(tenant string) error {
	if tenant == "" || len(tenant) > maxName || tenant[0] == '.' {
		return fmt.Errorf("tenant %.40q must have 1 to %d characters and not begin with a dot", tenant, maxName)
	}
	if i := strings.IndexFunc(tenant, func(r rune) bool {
		return !('0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || r == '-' || r == '_' || r == '.')
	}); i >= 0 {
		return fmt.Errorf("tenant %.150q must not have %q in it: letters, digits and - _ . can be used", tenant, tenant[i:i+1])
	}
	return block.CheckTenant(tenant)
}
