package readpath

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/jaeger-tempo/tempo/internal/fuzztest"
	"github.com/jaeger-tempo/tempo/tempodb/index"
)

func TestATokenIsGoodForItsQueryOnly(t *testing.T) {
	q := Query{Service: "shop", Tags: map[string]string{"a": "b", "c": "d"}, StartMin: time.Unix(1, 0), PageSize: 5}
	p := place{after: index.Hit{Key: [16]byte{1, 2, 15: 3}, Start: 40}, upper: 50}
	token := p.token(q.fingerprint("acme"))
	if got, err := parsePlace(token, q.fingerprint("acme")); err != nil || got != p {
		t.Fatalf("%+v, %v", got, err)
	}
	larger := q
	larger.PageSize, larger.PageToken = 10, token
	if _, err := parsePlace(token, larger.fingerprint("acme")); err != nil {
		t.Errorf("a page of another size: %v", err)
	}
	for what, other := range map[string]Query{
		"another service":           {Service: "shops", Tags: q.Tags, StartMin: q.StartMin},
		"an operation":              {Service: "shop", Operation: "a", Tags: q.Tags, StartMin: q.StartMin},
		"a tag less":                {Service: "shop", Tags: map[string]string{"a": "b"}, StartMin: q.StartMin},
		"values of tags exchanged":  {Service: "shop", Tags: map[string]string{"a": "d", "c": "b"}, StartMin: q.StartMin},
		"another time":              {Service: "shop", Tags: q.Tags, StartMin: time.Unix(2, 0)},
		"an end":                    {Service: "shop", Tags: q.Tags, StartMin: q.StartMin, StartMax: time.Unix(9, 0)},
		"a minimum of the duration": {Service: "shop", Tags: q.Tags, StartMin: q.StartMin, DurationMin: 1},
		"a maximum of the duration": {Service: "shop", Tags: q.Tags, StartMin: q.StartMin, DurationMax: 1},
	} {
		if _, err := parsePlace(token, other.fingerprint("acme")); !errors.Is(err, errToken) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := parsePlace(token, q.fingerprint("other")); !errors.Is(err, errToken) {
		t.Errorf("another tenant: %v", err)
	}
	for i := range token {
		damaged := token[:i] + string("AB"[(token[i]&1)^1]) + token[i+1:]
		if _, err := parsePlace(damaged, q.fingerprint("acme")); damaged != token && !errors.Is(err, errToken) {
			t.Errorf("byte %d changed: %v", i, err)
		}
	}
	for _, other := range []string{token[1:], token + "A", token + "=", strings.Repeat("A", len(token)), "?"} {
		if _, err := parsePlace(other, q.fingerprint("acme")); !errors.Is(err, errToken) {
			t.Errorf("token %q: %v", other, err)
		}
	}
}

func FuzzToken(f *testing.F) {
	const fingerprint = 7
	f.Add(place{upper: 1}.token(fingerprint))
	f.Add(place{after: index.Hit{Start: -5}, upper: -1}.token(fingerprint))
	f.Add((&spanPlace{start: 1, traceID: [16]byte{1}, sum: 7}).token(fingerprint))
	f.Add("")
	f.Fuzz(func(t *testing.T, token string) {
		var p place
		var s *spanPlace
		var err, spanErr error
		fuzztest.Bounded(t, 4*len(token), func() {
			p, err = parsePlace(token, fingerprint)
			s, spanErr = parseSpanPlace(token, fingerprint)
		})
		var refused *QueryError
		switch {
		case err == nil && p.token(fingerprint) != token, spanErr == nil && s.token(fingerprint) != token:
			t.Fatalf("%q is written again in another way", token)
		case err == nil && spanErr == nil:
			t.Fatalf("%q is of traces and of spans", token)
		case err != nil && !errors.As(err, &refused), spanErr != nil && !errors.As(spanErr, &refused):
			t.Fatalf("%v and %v blame nobody", err, spanErr)
		}
	})
}
