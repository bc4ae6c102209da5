package main

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

// tenantStatus is a line of the status page.
type tenantStatus struct {
	Name string
	// Recent data, in the log.
	Segments    int
	RecentBytes int64
	// Settled data, in blocks.
	Blocks     int
	BlockBytes int64
	BlockSpans int64
	Damaged    int // blocks that could not be opened
}

type statusPage struct {
	Version, Uptime, Path, Config string
	PID                           int
	Ready                         bool
	Tenants                       []tenantStatus
	Recent                        []entry
}

func (a *admin) status(w http.ResponseWriter, _ *http.Request) {
	path := a.config.Storage.Path
	if abs, err := filepath.Abs(path); err == nil {
		path = abs
	}
	var effective strings.Builder
	_ = config.Print(&effective, a.config) // into memory
	page := statusPage{
		Version: version.Text(),
		Uptime:  time.Since(a.started).Round(time.Second).String(),
		Path:    path,
		Config:  effective.String(),
		PID:     os.Getpid(),
		Recent:  a.recent.list(),
	}
	if s := a.store.Load(); s != nil {
		page.Ready, page.Tenants = true, s.status()
	}
	var b bytes.Buffer
	if err := statusTemplate.Execute(&b, page); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = w.Write(b.Bytes())
}

var statusTemplate = template.Must(template.New("status").Funcs(template.FuncMap{
	"bytes": formatBytes,
	"time":  func(t time.Time) string { return t.Format("2006-01-02 15:04:05") },
	"args":  formatArgs,
}).Parse(`<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>tempo-plugin</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60em; margin: 2em auto; padding: 0 1em; color: #222 }
table { border-collapse: collapse; width: 100% }
th, td { text-align: left; vertical-align: top; padding: .2em .8em .2em 0; border-bottom: 1px solid #ddd }
td.n, th.n { text-align: right }
pre { background: #f4f4f4; padding: .8em; overflow: auto }
.bad { color: #b00 }
@media (prefers-color-scheme: dark) { body { background: #181818; color: #ddd } pre { background: #222 } th, td { border-color: #444 } .bad { color: #f66 } }
</style>
</head>
<body>
<h1>tempo-plugin</h1>
<p>{{if .Ready}}Ready.{{else}}<b class="bad">Starting</b>: the store is opening and replays its log.{{end}}
Up {{.Uptime}}, process {{.PID}}, version {{.Version}}.
Data in <code>{{.Path}}</code>.</p>

<h2>Tenants</h2>
{{if .Tenants}}<table>
<tr><th>Tenant<th class="n">Log segments<th class="n">recent<th class="n">Blocks<th class="n">in blocks<th class="n">spans in blocks<th class="n">damaged blocks</tr>
{{range .Tenants}}<tr><td>{{.Name}}<td class="n">{{.Segments}}<td class="n">{{bytes .RecentBytes}}<td class="n">{{.Blocks}}<td class="n">{{bytes .BlockBytes}}<td class="n">{{.BlockSpans}}<td class="n{{if .Damaged}} bad{{end}}">{{.Damaged}}</tr>
{{end}}</table>{{else}}<p>None yet.</p>{{end}}

<h2>Recent warnings and errors</h2>
{{if .Recent}}<table>
{{range .Recent}}<tr><td>{{time .Time}}<td class="bad">{{.Level}}<td>{{.Message}} {{args .Args}}</tr>
{{end}}</table>{{else}}<p>None since the start.</p>{{end}}

<h2>Configuration in effect</h2>
<pre>{{.Config}}</pre>
<p><a href="ready">ready</a> · <a href="metrics">metrics</a> · <a href="debug/pprof/">pprof</a></p>
</body>
</html>
`))

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
