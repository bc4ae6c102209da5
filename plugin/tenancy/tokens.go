package tenancy

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/jaeger-tempo/tempo/tracedb"
)

// minToken is the length from which on a token is taken: what is shorter can be guessed.
const minToken = 16

// maxTokens bounds the file: a larger one is something else.
const maxTokens = 16 << 20

// access is what a token gives.
type access struct {
	all     bool     // tenants
	tenants []string // in the order of the file
	expires time.Time
}

func (a *access) to(tenant string) bool { return a.all || slices.Contains(a.tenants, tenant) }

// tokens is what each gives, by its hash.
type tokens map[[sha256.Size]byte]*access

// find returns what a token gives now, or nil.
func (t tokens) find(token string, now time.Time) *access {
	a := t[sha256.Sum256([]byte(token))]
	if a == nil || !a.expires.IsZero() && !now.Before(a.expires) {
		return nil
	}
	return a
}

// readTokens reads a file of tokens.
func readTokens(path string, allowed []string) (tokens, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxTokens+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxTokens {
		return nil, fmt.Errorf("%s: is larger than %d MiB: this is no file of tokens", path, maxTokens>>20)
	}
	found, err := parseTokens(data, allowed)
	if err != nil {
		return nil, fmt.Errorf("%s:%w", path, err)
	}
	return found, nil
}

// parseTokens reads the contents of a file of tokens. Its errors say the line, and nothing that stands there: in a wrong line a token may stand anywhere.
func parseTokens(data []byte, allowed []string) (tokens, error) {
	found := make(tokens)
	n := 0
	for line := range bytes.Lines(data) {
		n++
		fields := strings.Fields(string(line))
		if len(fields) == 0 || strings.HasPrefix(fields[0], "#") {
			continue
		}
		hash, a, err := parseToken(fields, allowed)
		if err == nil && found[hash] != nil {
			err = errors.New("this token has a line already")
		}
		if err != nil {
			return nil, fmt.Errorf("%d: %w", n, err)
		}
		found[hash] = a
	}
	if len(found) == 0 {
		return nil, errors.New("1: there is no token in it: nobody could read or write")
	}
	return found, nil
}

func parseToken(fields []string, allowed []string) (hash [sha256.Size]byte, a *access, err error) {
	if len(fields) < 2 || len(fields) > 3 {
		return hash, nil, fmt.Errorf("a line has a token, tenants parted by commas, and perhaps a time at which it expires; this one has %d fields", len(fields))
	}
	if digits, hashed := strings.CutPrefix(fields[0], "sha256:"); hashed {
		sum, err := hex.DecodeString(digits)
		if err != nil || len(sum) != len(hash) {
			return hash, nil, fmt.Errorf("after sha256: there must be the %d hexadecimal digits of the token's hash", 2*len(hash))
		}
		hash = [sha256.Size]byte(sum)
	} else {
		if len(fields[0]) < minToken {
			return hash, nil, fmt.Errorf("the token is shorter than %d characters and can be guessed: make one with openssl rand -hex 32", minToken)
		}
		hash = sha256.Sum256([]byte(fields[0]))
	}
	a = &access{all: fields[1] == "*"}
	if !a.all {
		for tenant := range strings.SplitSeq(fields[1], ",") {
			if tracedb.CheckName(tenant) != nil {
				return hash, nil, errors.New("the second field is no list of tenants: their names, parted by commas, without spaces; or * for all")
			}
			if len(allowed) > 0 && !slices.Contains(allowed, tenant) {
				return hash, nil, errors.New("the second field has a tenant that is not in tenancy.allowed")
			}
			a.tenants = append(a.tenants, tenant)
		}
	}
	if len(fields) == 3 {
		if a.expires, err = time.Parse(time.RFC3339, fields[2]); err != nil {
			return hash, nil, errors.New("the third field is no time: write it like 2027-01-31T12:00:00Z")
		}
	}
	return hash, a, nil
}
