package parquet

import (
	"bytes"
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	_ "github.com/duckdb/duckdb-go/v2"
)

// cli is the path of tempo-cli, as this checkout has it.
var cli string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "parquet")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	cli = filepath.Join(dir, "tempo-cli")
	build := exec.Command("go", "build", "-o", cli, "./cmd/tempo-cli")
	build.Dir = "../.."
	build.Env = append(os.Environ(), "CGO_ENABLED=0") // as it is shipped
	code := 1
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "%v\n%s", err, out)
	} else {
		code = m.Run()
	}
	os.RemoveAll(dir)
	os.Exit(code)
}

// run runs tempo-cli.
func run(t *testing.T, args ...string) {
	t.Helper()
	cmd := exec.Command(cli, args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("tempo-cli %s: %v\n%s", strings.Join(args, " "), err, stderr.String())
	}
}

// table is an exported file in DuckDB, as the table spans, and as 'spans.parquet'.
type table struct {
	*sql.DB
	t *testing.T
}

// export exports a store and opens the file. more are conditions.
func export(t *testing.T, store string, more ...string) *table {
	t.Helper()
	dir := t.TempDir()
	run(t, append([]string{"--store=" + store, "export", "--format=parquet", "-o", filepath.Join(dir, "spans.parquet")}, more...)...)
	db, err := sql.Open("duckdb", "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	db.SetMaxOpenConns(1) // settings are those of a connection
	d := &table{db, t}
	for _, setup := range []string{
		"SET TimeZone = 'UTC'", "SET file_search_path = '" + dir + "'",
		"CREATE VIEW spans AS FROM 'spans.parquet'",
	} {
		if _, err := db.Exec(setup); err != nil {
			t.Fatalf("%s: %v", setup, err)
		}
	}
	return d
}

// lines returns the answer to a query: the text of each row's values.
func (d *table) lines(query string, args ...any) (all []string) {
	d.t.Helper()
	rows, err := d.Query(query, args...)
	if err != nil {
		d.t.Fatalf("%s: %v", query, err)
	}
	defer rows.Close()
	names, err := rows.Columns()
	if err != nil {
		d.t.Fatal(err)
	}
	values, to := make([]any, len(names)), make([]any, len(names))
	for i := range to {
		to[i] = &values[i]
	}
	for rows.Next() {
		if err := rows.Scan(to...); err != nil {
			d.t.Fatal(err)
		}
		words := make([]string, len(values))
		for i, v := range values {
			words[i] = fmt.Sprint(v)
		}
		all = append(all, strings.Join(words, " | "))
	}
	if err := rows.Err(); err != nil {
		d.t.Fatalf("%s: %v", query, err)
	}
	return all
}

// answers fails the test if a query has another answer.
func (d *table) answers(query string, want ...string) {
	d.t.Helper()
	got := d.lines(query)
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		d.t.Errorf("%s\nanswers\n  %s\nwant\n  %s", query, strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
}
