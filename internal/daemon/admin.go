package daemon

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/jaeger-tempo/tempo/config"
)

// Admin is the HTTP server for people and monitoring. It answers from the start, before the program can do anything else.
type Admin struct {
	// Metrics is what /metrics shows.
	Metrics *prometheus.Registry

	program string
	config  config.Config
	log     *Log
	started time.Time
	mux     *http.ServeMux

	mu       sync.Mutex
	ready    func() error
	links    []link
	sections []section
}

type link struct{ Text, Path string }

// NewAdmin makes the admin server of a program, in which it is the part: tempo_<part>_ready is a metric. It is not ready before SetReady.
func NewAdmin(program, part string, cfg config.Config, log *Log) *Admin {
	a := &Admin{
		Metrics: prometheus.NewRegistry(), program: program, config: cfg, log: log, started: time.Now(), mux: http.NewServeMux(),
		ready: func() error { return errors.New("it is starting") },
		links: []link{{"ready", "ready"}, {"metrics", "metrics"}, {"pprof", "debug/pprof/"}},
	}
	a.Metrics.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "tempo_" + part + "_ready", Help: "1 when it can do its work, 0 before that."}, func() float64 {
			if a.notReady() != nil {
				return 0
			}
			return 1
		}),
	)
	a.mux.HandleFunc("GET /{$}", a.status)
	a.mux.HandleFunc("GET /ready", a.serveReady)
	a.mux.Handle("GET /metrics", promhttp.HandlerFor(a.Metrics, promhttp.HandlerOpts{Registry: a.Metrics}))
	a.mux.HandleFunc("/debug/pprof/", pprof.Index)
	a.mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	a.mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	a.mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	a.mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	return a
}

// SetReady gives what is asked from now on whether the program is ready: its error says why not.
func (a *Admin) SetReady(ready func() error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.ready = ready
}

func (a *Admin) notReady() error {
	a.mu.Lock()
	ready := a.ready
	a.mu.Unlock()
	return ready()
}

// Handle adds a page, to which the status page links by the text; an empty text is no link.
func (a *Admin) Handle(text, path string, h http.Handler) {
	a.mux.Handle(path, h)
	if text == "" {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.links = append(a.links, link{text, path[1:]})
}

// Handler returns the pages.
func (a *Admin) Handler() http.Handler { return a.mux }

// Listen starts the server, unless the configuration says off, until the process ends.
func (a *Admin) Listen() error {
	address := a.config.Admin.ListenAddress
	if address == config.AdminOff {
		return nil
	}
	l, err := listen(address)
	if err != nil {
		return err
	}
	a.log.Info("admin server is listening", "url", "http://"+l.Addr().String()+"/")
	server := &http.Server{
		Handler:           a.mux,
		ReadHeaderTimeout: 10 * time.Second,
		ErrorLog:          slog.NewLogLogger(a.log.Handler(), slog.LevelInfo),
	}
	go func() {
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			a.log.Error("admin server has ended", "error", err)
		}
	}()
	return nil
}

func listen(address string) (net.Listener, error) {
	if address != config.AdminAuto {
		l, err := net.Listen("tcp", address)
		if err != nil {
			return nil, fmt.Errorf("admin server: %w; set admin.listen_address to a free address, or to %s or %s", err, config.AdminAuto, config.AdminOff)
		}
		return l, nil
	}
	l, err := net.Listen("tcp", config.AdminDefaultAddress)
	if errors.Is(err, syscall.EADDRINUSE) { // by another process of the store, most likely
		host, _, _ := net.SplitHostPort(config.AdminDefaultAddress)
		l, err = net.Listen("tcp", net.JoinHostPort(host, "0"))
	}
	if err != nil {
		return nil, fmt.Errorf("admin server: %w; set admin.listen_address to a free address, or to %s", err, config.AdminOff)
	}
	return l, nil
}

func (a *Admin) serveReady(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if err := a.notReady(); err != nil {
		w.WriteHeader(http.StatusServiceUnavailable)
		fmt.Fprintf(w, "not ready: %s\n", err)
		return
	}
	fmt.Fprintln(w, "ready")
}
