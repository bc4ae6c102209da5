package config

import (
	"errors"
	"fmt"
	"math"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jaeger-tempo/tempo/tempodb/backend/place"
)

// value reads and writes one field of a Config as text. What String returns, set accepts and makes
// the same of it. The error of set says what is wrong and what would be right; the caller adds the key.
type value interface {
	set(text string) error
	String() string
}

type directory struct{ p *string }

func (v directory) String() string { return *v.p }

func (v directory) set(text string) error {
	switch {
	case text == "":
		return errors.New("is empty: name a directory")
	case text == "~" || strings.HasPrefix(text, "~/"):
		return fmt.Errorf("%q: ~ is not replaced here, write ${HOME}%s", text, text[1:])
	}
	*v.p = text
	return nil
}

type choice[T ~string] struct {
	p  *T
	of []T
}

func (v choice[T]) String() string { return string(*v.p) }

func (v choice[T]) set(text string) error {
	var all []string
	for _, c := range v.of {
		if text == string(c) {
			*v.p = c
			return nil
		}
		if c != "" {
			all = append(all, string(c))
		}
	}
	return fmt.Errorf("%q is not one of %s", text, strings.Join(all, ", "))
}

type duration struct {
	p        *time.Duration
	min, max time.Duration
}

func (v duration) String() string { return formatDuration(*v.p) }

func (v duration) set(text string) error {
	d, err := time.ParseDuration(text)
	if err != nil {
		if _, err := strconv.ParseFloat(text, 64); err == nil {
			return fmt.Errorf("%q has no unit: write %ss for seconds, %sm for minutes", text, text, text)
		}
		return fmt.Errorf("%q is not a duration: write it like 100ms, 90s or 1h30m", text)
	}
	if d < v.min || d > v.max {
		return fmt.Errorf("%s is out of range: %s to %s", text, formatDuration(v.min), formatDuration(v.max))
	}
	*v.p = d
	return nil
}

// formatDuration is d.String() without trailing zero units: 30m, not 30m0s.
func formatDuration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

type size struct {
	p        *int64
	min, max int64
}

func (v size) String() string { return formatSize(*v.p) }

func (v size) set(text string) error {
	n, err := parseSize(text)
	if err != nil {
		return err
	}
	if n < v.min || n > v.max {
		return fmt.Errorf("%s is out of range: %s to %s", text, formatSize(v.min), formatSize(v.max))
	}
	*v.p = n
	return nil
}

var units = []struct {
	name  string
	bytes int64
}{ // formatSize takes the first that divides
	{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10},
	{"TB", 1e12}, {"GB", 1e9}, {"MB", 1e6}, {"KB", 1e3}, {"kB", 1e3}, {"B", 1},
}

func parseSize(text string) (int64, error) {
	digits := strings.TrimRight(text, "TGMKkiB ")
	n, err := strconv.ParseUint(digits, 10, 63)
	if err != nil {
		return 0, fmt.Errorf("%q is not a size: write it like 64MiB or 2GB", text)
	}
	unit := strings.TrimLeft(text[len(digits):], " ")
	if unit == "" {
		return int64(n), nil
	}
	for _, u := range units {
		if unit == u.name {
			if int64(n) > math.MaxInt64/u.bytes {
				return 0, fmt.Errorf("%q is more than 8 EiB", text)
			}
			return int64(n) * u.bytes, nil
		}
	}
	return 0, fmt.Errorf("%q has an unknown unit %q: take B, KiB, MiB, GiB, TiB, KB, MB, GB or TB", text, unit)
}

func formatSize(n int64) string {
	for _, u := range units {
		if n != 0 && n%u.bytes == 0 {
			return strconv.FormatInt(n/u.bytes, 10) + u.name
		}
	}
	return "0B"
}

// name is one that can be a folder's in every object store, without the ~ that marks archives.
type name struct {
	p    *string
	what string // what is to be named, for who left it empty; empty: it may be left so
}

func (v name) String() string { return *v.p }

func (v name) set(text string) error {
	switch {
	case text == "" && v.what != "":
		return fmt.Errorf("is empty: name %s", v.what)
	case len(text) > 150:
		return fmt.Errorf("is %d bytes long: at most 150", len(text))
	case text != "" && text[0] == '.':
		return fmt.Errorf("%q begins with a dot", text)
	}
	for _, r := range text {
		ok := 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("-_.", r)
		if !ok {
			return fmt.Errorf("%q has the character %q: letters, digits and - _ . can be used", text, r)
		}
	}
	*v.p = text
	return nil
}

// tenant is a name that a tenant can have, or empty.
type tenant struct{ p *string }

func (v tenant) String() string { return *v.p }

func (v tenant) set(text string) error {
	var checked string
	switch err := (name{p: &checked}).set(text); {
	case err != nil:
		return err
	case len(text) > 142: // with what marks its archive it is a folder of 150
		return fmt.Errorf("is %d bytes long: at most 142", len(text))
	case text == "quarantine":
		return fmt.Errorf("%q is no tenant: it is the folder of bad blocks", text)
	}
	*v.p = text
	return nil
}

// tenants is a list of names of tenants.
type tenants struct{ p *List }

func (v tenants) String() string { return string(*v.p) }

func (v tenants) set(text string) error {
	var all []string
	for part := range strings.SplitSeq(text, ",") {
		part = strings.TrimSpace(part)
		if part == "" || slices.Contains(all, part) {
			continue
		}
		var checked string
		if err := (tenant{&checked}).set(part); err != nil {
			return err
		}
		all = append(all, part)
	}
	*v.p = List(strings.Join(all, ","))
	return nil
}

// header is the name of gRPC metadata, in lower case.
type header struct{ p *string }

func (v header) String() string { return *v.p }

func (v header) set(text string) error {
	text = strings.ToLower(text)
	switch {
	case text == "":
		return errors.New("is empty: name a header, such as x-tenant")
	case strings.ContainsFunc(text, func(r rune) bool {
		return !('a' <= r && r <= 'z' || '0' <= r && r <= '9' || strings.ContainsRune("-_.", r))
	}):
		return fmt.Errorf("%q is no name of a header: letters, digits and - _ . can be used", text)
	case strings.HasPrefix(text, "grpc-") || strings.HasSuffix(text, "-bin") || text == "authorization" || text == "bearer.token":
		return fmt.Errorf("%q means something else to gRPC or to Jaeger: take another, such as x-tenant", text)
	}
	*v.p = text
	return nil
}

// address is host:port, or one of some words instead.
type address struct {
	p       *string
	words   []string // "" is the empty one
	example string
}

func (v address) String() string { return *v.p }

func (v address) set(text string) error {
	if slices.Contains(v.words, text) {
		*v.p = text
		return nil
	}
	kinds := "host:port"
	for i, w := range v.words {
		switch {
		case w == "":
		case i == len(v.words)-1:
			kinds += " or " + w
		default:
			kinds += ", " + w
		}
	}
	if text == "" {
		return fmt.Errorf("is empty: write %s", kinds)
	}
	if err := checkAddress(text, kinds, v.example); err != nil {
		return err
	}
	*v.p = text
	return nil
}

// checkAddress checks that text is host:port.
func checkAddress(text, kinds, example string) error {
	_, port, err := net.SplitHostPort(text)
	if err != nil {
		return fmt.Errorf("%q is not %s: for example %s", text, kinds, example)
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return fmt.Errorf("%q: the port must be a number from 0 to 65535 (0 = any free one)", text)
	}
	return nil
}

// addresses is a list of host:port.
type addresses struct {
	p       *List
	example string
}

func (v addresses) String() string { return string(*v.p) }

func (v addresses) set(text string) error {
	var all []string
	for part := range strings.SplitSeq(text, ",") {
		part = strings.TrimSpace(part)
		if part == "" {
			continue
		}
		if err := checkAddress(part, "host:port", v.example); err != nil {
			return err
		}
		if strings.HasSuffix(part, ":0") {
			return fmt.Errorf("%q: nobody can be reached at port 0", part)
		}
		all = append(all, part)
	}
	*v.p = List(strings.Join(all, ","))
	return nil
}

// store is the URL of an object store, or empty.
type store struct{ p *string }

func (v store) String() string { return *v.p }

func (v store) set(text string) error {
	if text != "" {
		at, err := place.Parse(text)
		if err != nil {
			return err
		}
		if err := (directory{&at.Path}).set(at.Path); at.Scheme == place.File && err != nil {
			return err
		}
	}
	*v.p = text
	return nil
}

// optional is a directory or a file that may be left out.
type optional struct{ directory }

func (v optional) set(text string) error {
	if text == "" {
		*v.p = ""
		return nil
	}
	return v.directory.set(text)
}

// number is a whole number.
type number[T int | int64] struct {
	p        *T
	min, max T
}

func (v number[T]) String() string { return strconv.FormatInt(int64(*v.p), 10) }

func (v number[T]) set(text string) error {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return fmt.Errorf("%q is not a whole number", text)
	}
	if n < int64(v.min) || n > int64(v.max) {
		return fmt.Errorf("%s is out of range: %d to %d", text, v.min, v.max)
	}
	*v.p = T(n)
	return nil
}

// replication is 1 or 3.
type replication struct{ p *int }

func (v replication) String() string { return strconv.Itoa(*v.p) }

func (v replication) set(text string) error {
	if text != "1" && text != "3" {
		return fmt.Errorf("%q is not one of 1, 3", text)
	}
	*v.p = int(text[0] - '0')
	return nil
}

// truth is true or false.
type truth struct{ p *bool }

func (v truth) String() string { return strconv.FormatBool(*v.p) }

func (v truth) set(text string) error {
	if text != "true" && text != "false" {
		return fmt.Errorf("%q is not one of true, false", text)
	}
	*v.p = text == "true"
	return nil
}
