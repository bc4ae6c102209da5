package tracedb

import "strings"

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
