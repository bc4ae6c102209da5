package daemon

import (
	"bytes"
	"fmt"
	"html/template"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/jaeger-tempo/tempo/config"
	"github.com/jaeger-tempo/tempo/internal/version"
)

// Table is a section of the status page. Its cells are text, numbers, Bytes, times and durations; Bad marks one.
type Table struct {
	Head []string
	Rows [][]any
}

// Bytes is a number of bytes.
type Bytes int64

// Bad is a cell that says that something is wrong.
type Bad struct{ Cell any }

// BadIf is the cell, Bad where something is wrong.
func BadIf(wrong bool, cell any) any {
	if wrong {
		return Bad{cell}
	}
	return cell
}

type section struct {
	Title string
	table func() Table
}

// Section adds a table to the status page, which is asked for each time that it is shown.
func (a *Admin) Section(title string, table func() Table) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.sections = append(a.sections, section{title, table})
}

type statusPage struct {
	Program, Version, Uptime, Path, Config string
	PID                                    int
	NotReady                               error
	Sections                               []statusSection
	Recent                                 []entry
	Links                                  []link
}

type statusSection struct {
	Title string
	Table
}

func (a *Admin) status(w http.ResponseWriter, _ *http.Request) {
	path := a.config.Storage.Path
	if abs, err := filepath.Abs(path); err == nil {
		path = abs
	}
	var effective strings.Builder
	_ = config.Print(&effective, a.config) // into memory
	page := statusPage{
		Program:  a.program,
		Version:  version.Text(),
		Uptime:   time.Since(a.started).Round(time.Second).String(),
		Path:     path,
		Config:   effective.String(),
		PID:      os.Getpid(),
		NotReady: a.notReady(),
		Recent:   a.log.recent.list(),
	}
	a.mu.Lock()
	sections := a.sections
	page.Links = a.links
	a.mu.Unlock()
	for _, s := range sections {
		page.Sections = append(page.Sections, statusSection{s.Title, s.table()})
	}
	var b bytes.Buffer
	if err := statusTemplate.Execute(&b, page); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = w.Write(b.Bytes())
}

// cell is one of a Table as the page shows it.
type cell struct {
	Text, Class string
}

func newCell(v any) cell {
	switch v := v.(type) {
	case Bad:
		c := newCell(v.Cell)
		c.Class = strings.TrimSpace(c.Class + " bad")
		return c
	case Bytes:
		return cell{formatBytes(int64(v)), "n"}
	case int, int64, float64, time.Duration:
		return cell{fmt.Sprint(v), "n"}
	case time.Time:
		if v.IsZero() {
			return cell{}
		}
		return cell{formatTime(v), ""}
	}
	return cell{fmt.Sprint(v), ""}
}

var statusTemplate = template.Must(template.New("status").Funcs(template.FuncMap{
	"cell": newCell, "time": formatTime, "args": formatArgs,
}).Parse(`<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>{{.Program}}</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60em; margin: 2em auto; padding: 0 1em; color: #222 }
table { border-collapse: collapse; width: 100% }
th, td { text-align: left; vertical-align: top; padding: .2em .8em .2em 0; border-bottom: 1px solid #ddd }
td.n { text-align: right }
pre { background: #f4f4f4; padding: .8em; overflow: auto }
.bad { color: #b00 }
@media (prefers-color-scheme: dark) { body { background: #181818; color: #ddd } pre { background: #222 } th, td { border-color: #444 } .bad { color: #f66 } }
</style>
</head>
<body>
<h1>{{.Program}}</h1>
<p>{{with .NotReady}}<b class="bad">Not ready</b>: {{.}}.{{else}}Ready.{{end}}
Up {{.Uptime}}, process {{.PID}}, version {{.Version}}.
Data in <code>{{.Path}}</code>.</p>
{{range .Sections}}
<h2>{{.Title}}</h2>
{{if .Rows}}<table>
<tr>{{range .Head}}<th>{{.}}</th>{{end}}</tr>
{{range .Rows}}<tr>{{range .}}{{with cell .}}<td class="{{.Class}}">{{.Text}}</td>{{end}}{{end}}</tr>
{{end}}</table>{{else}}<p>None yet.</p>{{end}}
{{end}}
<h2>Recent warnings and errors</h2>
{{if .Recent}}<table>
{{range .Recent}}<tr><td>{{time .Time}}<td class="bad">{{.Level}}<td>{{.Message}} {{args .Args}}</tr>
{{end}}</table>{{else}}<p>None since the start.</p>{{end}}

<h2>Configuration in effect</h2>
<pre>{{.Config}}</pre>
<p>{{range $i, $l := .Links}}{{if $i}} · {{end}}<a href="{{$l.Path}}">{{$l.Text}}</a>{{end}}</p>
</body>
</html>
`))

func formatTime(t time.Time) string { return t.Format("2006-01-02 15:04:05") }

func formatBytes(n int64) string {
	const units = "KMGTPE"
	if n < 1024 {
		return fmt.Sprintf("%d B", n)
	}
	f, unit := float64(n)/1024, 0
	for f >= 1024 {
		f, unit = f/1024, unit+1
	}
	return fmt.Sprintf("%.1f %ciB", f, units[unit])
}

func formatArgs(args []any) string {
	var b strings.Builder
	for i := 0; i+1 < len(args); i += 2 {
		fmt.Fprintf(&b, "%v=%v ", args[i], args[i+1])
	}
	return strings.TrimSpace(b.String())
}
