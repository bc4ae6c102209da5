package place

import (
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	for _, c := range []struct {
		text string
		want Place
		back string // its String, where that is not text
	}{
		{text: "blocks", want: Place{Scheme: File, Path: "blocks"}},
		{text: "/srv/blocks", want: Place{Scheme: File, Path: "/srv/blocks"}},
		{text: "file:///srv/with%20space", want: Place{Scheme: File, Path: "/srv/with space"}, back: "/srv/with space"},
		{text: "file://localhost/srv", want: Place{Scheme: File, Path: "/srv"}, back: "/srv"},
		{text: "gs://traces", want: Place{Scheme: GCS, Bucket: "traces"}},
		{text: "gs://traces/", want: Place{Scheme: GCS, Bucket: "traces"}, back: "gs://traces"},
		{text: "gcs://traces/a/b/", want: Place{Scheme: GCS, Bucket: "traces", Prefix: "a/b"}, back: "gs://traces/a/b"},
		{text: "s3://traces/prod", want: Place{Scheme: S3, Bucket: "traces", Prefix: "prod"}},
		{text: "azure://traces/prod", want: Place{Scheme: Azure, Bucket: "traces", Prefix: "prod"}, back: "azblob://traces/prod"},
	} {
		got, err := Parse(c.text)
		if err != nil || got != c.want {
			t.Errorf("%q is %+v, %v", c.text, got, err)
			continue
		}
		if c.back == "" {
			c.back = c.text
		}
		if got.String() != c.back {
			t.Errorf("%q is printed as %q", c.text, got)
		}
		if again, err := Parse(got.String()); err != nil || again != got {
			t.Errorf("%q is printed as %q, which is %+v, %v", c.text, got, again, err)
		}
	}
}

func TestErrorsSayWhatToWrite(t *testing.T) {
	for text, want := range map[string]string{
		"":                       "is empty: write a directory, gs://BUCKET/PREFIX",
		"http://host/bucket":     "http is none of file, gs, s3 and azblob",
		"s3:///prefix":           "should be s3://BUCKET/PREFIX",
		"s3://key:secret@bucket": "endpoints and credentials are taken from the environment",
		"gs://bucket/a//b":       "prefix: ",
		"gs://bucket/../b":       "prefix: ",
		"file://host/path":       "is no file URL: write file:///the/path",
		"file://":                "is no file URL",
	} {
		if _, err := Parse(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want it to say %q", text, err, want)
		}
	}
}
