package block

import (
	"fmt"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"
)

// ID names a block within its tenant: a ULID in its canonical form, 26 characters. IDs made later sort
// later, to the millisecond; those one process makes, always.
type ID string

// NewID returns an ID that nobody else has.
func NewID() ID { return ID(ulid.Make().String()) }

// ParseID returns s as an ID, if it is one.
func ParseID(s string) (ID, error) {
	id, err := ulid.ParseStrict(s)
	if err != nil {
		return "", fmt.Errorf("%.40q is no block ID: %w", s, err)
	}
	if id.String() != s {
		return "", fmt.Errorf("%q is no block ID: its letters must be upper case", s)
	}
	return ID(s), nil
}

// Time returns when the ID was made, to the millisecond; the zero time if it is none.
func (id ID) Time() time.Time {
	u, err := ulid.ParseStrict(string(id))
	if err != nil {
		return time.Time{}
	}
	return ulid.Time(u.Time()).UTC()
}

const maxTenant = 150

// CheckTenant returns an error if tenant can't be the name of a folder in every object store: it may have up to
// 150 letters and digits of ASCII and any of !-_.~*'() and must not begin with a dot. QuarantineFolder is none.
func CheckTenant(tenant string) error {
	if tenant == "" || len(tenant) > maxTenant || tenant[0] == '.' {
		return fmt.Errorf("tenant %.40q must have 1 to %d characters and not begin with a dot", tenant, maxTenant)
	}
	if tenant == QuarantineFolder {
		return fmt.Errorf("%q is no tenant: it is the folder of bad blocks", tenant)
	}
	for _, c := range []byte(tenant) {
		alphanumeric := '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		if !alphanumeric && strings.IndexByte("!-_.~*'()", c) < 0 {
			return fmt.Errorf("tenant %q must not have %q in it", tenant, c)
		}
	}
	return nil
}

// The objects of a block.
const (
	dataObject    = "data"
	indexObject   = "index"
	filterObject  = "filter"
	searchObject  = "search"
	summaryObject = "summary"
	metaObject    = "meta.json"
)

// objectNames are all but meta.json.
var objectNames = []string{dataObject, indexObject, filterObject, searchObject, summaryObject}

func objectName(tenant string, id ID, object string) string {
	return tenant + "/" + string(id) + "/" + object
}
