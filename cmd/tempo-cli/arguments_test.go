package main

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/jaeger-tempo/tempo/tempodb/backend"
	"github.com/jaeger-tempo/tempo/tempodb/backend/place"
	"github.com/jaeger-tempo/tempo/trace"
)

// typed is what a person may type, with parts of one thing in another.
var typed = rapid.Custom(func(t *rapid.T) string {
	part := rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{
		"/var/lib/tempo", "file:///var/lib", "s3://bucket/a/b", "gs://bucket/../x", "azblob://c", "s3://key:secret@host/b",
		"2026-01-05T09:00:00Z", "2026-01-05 09:00", "0001-01-01", "9999-12-31", "7d", "1e5d", "90m", "-3s", "10GiB", "1.5MB", "1E", "10iB", "NaN", "1e300EB",
		"http.status_code=200", "resource:a=b=c", "span:=x", "01M826G85SRYJWMRVVZCP3X78E", "-", ":", "/", "=",
	}))
	text := part.Draw(t, "text")
	if rapid.IntRange(0, 3).Draw(t, "joined") == 0 {
		at := rapid.IntRange(0, len(text)).Draw(t, "at")
		text = text[:at] + part.Draw(t, "inserted") + text[at:]
	}
	return text
})

// What is taken means what it says, and what is not is an error that says so. (These are no fuzz targets: to fuzz this package, all clients of
// object stores would have to be compiled for it.)
func TestArguments(t *testing.T) {
	now := time.Date(2026, 1, 5, 9, 0, 0, 0, time.UTC)
	rapid.Check(t, func(t *rapid.T) {
		text := typed.Draw(t, "text")
		if p, err := (&storeFlags{store: text}).place(); err == nil {
			switch p.Scheme {
			case place.File:
				if p.Path == "" || p.Bucket != "" {
					t.Fatalf("%q is %+v", text, p)
				}
			case place.GCS, place.S3, place.Azure:
				if p.Bucket == "" || p.Path != "" || p.Prefix != "" && backend.CheckName(p.Prefix) != nil || !strings.Contains(text, p.Bucket) {
					t.Fatalf("%q is %+v", text, p)
				}
			default:
				t.Fatalf("%q is %+v", text, p)
			}
		} else if u := (usageError{}); !errors.As(err, &u) {
			t.Fatalf("%v is no error of usage", err)
		}
		if when, err := parseWhen("since", text, now, math.MinInt64); err == nil && text != "" {
			if at, parsed := time.Parse(time.RFC3339Nano, text); parsed == nil && !at.Equal(time.Unix(0, when)) {
				t.Fatalf("%q is %v", text, time.Unix(0, when).UTC())
			}
		} else if err != nil && !strings.Contains(err.Error(), text) {
			t.Fatalf("%v does not repeat %q", err, text)
		}
		if ago, err := parseAgo(text); err == nil && ago < 0 {
			t.Fatalf("%q is %v ago", text, ago)
		}
		if n, err := parseSize(text); err == nil && n < 0 {
			t.Fatalf("%q is %d bytes", text, n)
		}
		if a, value, err := parseTag(text); err == nil {
			if a.Key == "" || !strings.HasSuffix(text, a.Key+"="+value) || a.Space == 0 && text != a.Key+"="+value {
				t.Fatalf("%q is %+v, %q", text, a, value)
			}
		}
		if id, err := parseBlockID(text); err == nil && string(id) != strings.ToUpper(text) {
			t.Fatalf("%q is block %s", text, id)
		}
		if id, err := trace.ParseID(text); err == nil && !strings.HasSuffix(id.String(), strings.ToLower(text)) {
			t.Fatalf("%q is trace %s", text, id)
		}
	})
}
