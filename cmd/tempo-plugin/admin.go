package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/jaeger-tempo/tempo/config"
)

// admin is the HTTP server for people and monitoring. It answers from the start, before the store is open.
type admin struct {
	config   config.Config
	started  time.Time
	registry *prometheus.Registry
	recent   *recent
	store    atomic.Pointer[store] // nil until the store is open
}

func newAdmin(cfg config.Config, r *recent) *admin {
	a := &admin{config: cfg, started: time.Now(), registry: prometheus.NewRegistry(), recent: r}
	a.registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "tempo_plugin_ready",
			Help: "1 when the store is open, 0 while it replays its log.",
		}, func() float64 {
			if a.store.Load() == nil {
				return 0
			}
			return 1
		}),
	)
	return a
}

// listen starts the server, unless the configuration says off, until the process ends.
func (a *admin) listen(log *slog.Logger) error {
	address := a.config.Admin.ListenAddress
	if address == config.AdminOff {
		return nil
	}
	l, err := listen(address)
	if err != nil {
		return err
	}
	log.Info("admin server is listening", "url", "http://"+l.Addr().String()+"/")
	server := &http.Server{
		Handler:           a.handler(),
		ReadHeaderTimeout: 10 * time.Second,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelInfo),
	}
	go func() {
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			log.Error("admin server has ended", "error", err)
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
	if errors.Is(err, syscall.EADDRINUSE) { // by the plugin of another Jaeger, most likely
		host, _, _ := net.SplitHostPort(config.AdminDefaultAddress)
		l, err = net.Listen("tcp", net.JoinHostPort(host, "0"))
	}
	if err != nil {
		return nil, fmt.Errorf("admin server: %w; set admin.listen_address to a free address, or to %s", err, config.AdminOff)
	}
	return l, nil
}

func (a *admin) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", a.status)
	mux.HandleFunc("GET /ready", a.ready)
	mux.Handle("GET /metrics", promhttp.HandlerFor(a.registry, promhttp.HandlerOpts{Registry: a.registry}))
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	return mux
}

func (a *admin) ready(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if a.store.Load() == nil {
		w.WriteHeader(http.StatusServiceUnavailable)
		fmt.Fprintln(w, "not ready: the store is opening and replays its log")
		return
	}
	fmt.Fprintln(w, "ready")
}
