package tenancy_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jaegertracing/jaeger/model"
	"github.com/jaegertracing/jaeger/proto-gen/storage_v1"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/jaeger-tempo/tempo/config"
	"github.com/jaeger-tempo/tempo/internal/daemon"
	"github.com/jaeger-tempo/tempo/internal/node"
	"github.com/jaeger-tempo/tempo/plugin"
	"github.com/jaeger-tempo/tempo/plugin/storagev2"
	"github.com/jaeger-tempo/tempo/plugin/storagev2/storagepb"
	"github.com/jaeger-tempo/tempo/plugin/tenancy"
	"github.com/jaeger-tempo/tempo/readpath"
	"github.com/jaeger-tempo/tempo/tempodb"
	"github.com/jaeger-tempo/tempo/tempodb/backend/local"
	"github.com/jaeger-tempo/tempo/trace"
	"github.com/jaeger-tempo/tempo/tracedb"
	"github.com/jaeger-tempo/tempo/writepath"
)

// The tenants that have data. Each of them also has an archive, and all have a trace of one ID.
const (
	acme, globex = "acme", "globex"
	sharedTrace  = 99
)

var (
	owners = []string{acme, globex, tracedb.ArchiveTenant(acme), tracedb.ArchiveTenant(globex)}
	start  = time.Now().Add(-time.Minute).Truncate(time.Microsecond)
)

func idOf(low uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte("isolated"), low)
}

// ownTrace is the ID of the trace that only owner has.
func ownTrace(owner string) uint64 { return 1 + uint64(slices.Index(owners, owner)) }

// secret stands in every span of owner, and in no request.
func secret(owner string) string {
	return fmt.Sprintf("secret-%d-of-it", slices.Index(owners, owner))
}

func front(owner string) string { return "front-" + fmt.Sprint(slices.Index(owners, owner)) }

// found is what must be in no answer to another than owner.
func found(owner string) [][]byte {
	return [][]byte{[]byte(secret(owner)), []byte(front(owner)), idOf(ownTrace(owner))}
}

func text(key, value string) *commonpb.KeyValue {
	return &commonpb.KeyValue{Key: key, Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_StringValue{StringValue: value}}}
}

// otlp is a trace of owner: two services, of which the second has a secret for a name.
func otlp(t testing.TB, owner string, id uint64) []byte {
	t.Helper()
	span := func(n uint64, parent []byte) *tracepb.Span {
		return &tracepb.Span{
			TraceId: idOf(id), SpanId: binary.BigEndian.AppendUint64(nil, n), ParentSpanId: parent, Name: "op " + secret(owner), Kind: tracepb.Span_SPAN_KIND_SERVER,
			StartTimeUnixNano: uint64(start.UnixNano()), EndTimeUnixNano: uint64(start.Add(time.Second).UnixNano()), Attributes: []*commonpb.KeyValue{text("note", secret(owner))},
		}
	}
	of := func(service string, s *tracepb.Span) *tracepb.ResourceSpans {
		return &tracepb.ResourceSpans{
			Resource: &resourcepb.Resource{Attributes: []*commonpb.KeyValue{text("service.name", service)}}, ScopeSpans: []*tracepb.ScopeSpans{{Spans: []*tracepb.Span{s}}},
		}
	}
	root := span(1, nil)
	data, err := proto.Marshal(&tracepb.TracesData{ResourceSpans: []*tracepb.ResourceSpans{of(front(owner), root), of("back "+secret(owner), span(2, root.SpanId))}})
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// world is a store with data of all owners, in blocks and in the log.
type world struct {
	t     *testing.T
	write writepath.Store
	read  readpath.Store
	all   func() []string   // tenants that have anything; nil if that can't be told
	wrote map[uint64]string // trace ID of a write: whose it is; empty is nobody's
}

// newWorld makes one of one process.
func newWorld(t *testing.T) *world {
	t.Helper()
	bucket, err := local.New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	db, err := tracedb.Open(t.Context(), tracedb.Options{Dir: t.TempDir(), Bucket: bucket, CutAge: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	w := &world{t: t, write: db, read: db, wrote: make(map[uint64]string)}
	w.all = func() (all []string) {
		db.Each(func(tenant string, _ *tempodb.DB) { all = append(all, tenant) })
		return all
	}
	w.fill(ownTrace)
	if err := db.Cut(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.fill(func(string) uint64 { return sharedTrace })
	return w
}

// newCluster makes one of an ingester and an object store.
func newCluster(t *testing.T) *world {
	t.Helper()
	cfg := config.Default(os.LookupEnv)
	cfg.Storage = config.Storage{Path: t.TempDir(), Blocks: t.TempDir()}
	cfg.Ring.Replication, cfg.Ring.Settle = 1, time.Millisecond
	cfg.Server.GRPCListenAddress = "127.0.0.1:0"
	cfg.Cut.Age, cfg.Reader.PollInterval = 100*time.Millisecond, 100*time.Millisecond
	log := daemon.NewLog("error", io.Discard)
	n, err := node.Open(t.Context(), node.Options{Config: cfg, Program: "test", Log: log, Admin: daemon.NewAdmin("test", "test", cfg, log), Serves: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	for _, step := range []func(context.Context) error{n.Ingest, n.Compact, func(context.Context) error { return n.Serve() }, n.Replayed} {
		if err := step(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	w := &world{t: t, wrote: make(map[uint64]string)}
	if w.write, err = n.Writer(t.Context()); err != nil {
		t.Fatal(err)
	}
	if w.read, err = n.Reader(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.fill(ownTrace)
	for blocks := 0; blocks < len(owners); { // until each of them has one
		found, err := filepath.Glob(filepath.Join(cfg.Storage.Blocks, "*", "*", "meta.json"))
		if blocks = len(found); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Millisecond)
	}
	w.fill(func(string) uint64 { return sharedTrace })
	return w
}

// fill writes a trace for each owner.
func (w *world) fill(id func(owner string) uint64) {
	w.t.Helper()
	writer := writepath.NewWriter(w.write)
	for _, owner := range owners {
		if _, err := writer.Write(w.t.Context(), owner, otlp(w.t, owner, id(owner))); err != nil {
			w.t.Fatal(err)
		}
	}
}

// server serves all services there are with tenants, over the archive if it says so.
type server struct {
	archive bool
	conn    *grpc.ClientConn
	methods map[string]grpc.MethodInfo
}

func (w *world) serve(tenants *tenancy.Tenants, archive bool) *server {
	w.t.Helper()
	of := tenants.Of
	if archive {
		of = func(ctx context.Context) (string, error) {
			tenant, err := tenants.Of(ctx)
			if err != nil {
				return "", err
			}
			return tracedb.ArchiveTenant(tenant), nil
		}
	}
	reader, writer := readpath.NewReader(w.read), writepath.NewWriter(w.write)
	s := grpc.NewServer(grpc.ForceServerCodecV2(plugin.Codec{}))
	plugin.New(plugin.Options{Writer: writer, Reader: reader, TenantOf: of, StreamingWriter: true}).Register(s)
	storagev2.New(storagev2.Options{Writer: writer, Reader: reader, TenantOf: of}).Register(s)
	listener := bufconn.Listen(1 << 20)
	go func() { _ = s.Serve(listener) }()
	w.t.Cleanup(s.Stop)
	conn, err := grpc.NewClient("passthrough:store", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.ForceCodecV2(plugin.Codec{})),
		grpc.WithContextDialer(func(context.Context, string) (net.Conn, error) { return listener.Dial() }))
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = conn.Close() })
	methods := make(map[string]grpc.MethodInfo)
	for service, info := range s.GetServiceInfo() {
		for _, m := range info.Methods {
			methods["/"+service+"/"+m.Name] = m
		}
	}
	return &server{archive, conn, methods}
}

// whose returns whose data a call of method is about, made for tenant.
func (s *server) whose(method, tenant string) string {
	if tenant != "" && (s.archive || strings.Contains(method, "Archive")) {
		return tracedb.ArchiveTenant(tenant)
	}
	return tenant
}

// message is one as its bytes.
type message []byte

func (m *message) Marshal() ([]byte, error) { return *m, nil }

func (m *message) Unmarshal(b []byte) error {
	*m = bytes.Clone(b)
	return nil
}

// call makes a call and returns all that comes back.
func (s *server) call(ctx context.Context, method string, request []byte) (answers [][]byte, err error) {
	m := s.methods[method]
	stream, err := s.conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: m.IsServerStream, ClientStreams: m.IsClientStream}, method)
	if err != nil {
		return nil, err
	}
	first := message(request)
	if err := stream.SendMsg(&first); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if err := stream.CloseSend(); err != nil {
		return nil, err
	}
	for {
		var answer message
		if err := stream.RecvMsg(&answer); err != nil {
			if errors.Is(err, io.EOF) {
				err = nil
			}
			return answers, err
		}
		answers = append(answers, answer)
		if !m.IsServerStream {
			return answers, nil
		}
	}
}

// bearNoTenant are the calls that say nothing of any data.
var bearNoTenant = map[string]bool{
	"/jaeger.storage.v1.PluginCapabilities/Capabilities": true,
	"/jaeger.storage.v1.SpanWriterPlugin/Close":          true,
	"/jaeger.storage.v2.Capabilities/GetCapabilities":    true,
}

// marshaler is what the messages of both protocols are, to this test.
type marshaler interface{ Marshal() ([]byte, error) }

// protobuf makes a marshaler of a message of the second.
type protobuf struct{ proto.Message }

func (p protobuf) Marshal() ([]byte, error) { return proto.Marshal(p.Message) }

// questions are the requests by which each call would get at what owner has.
func questions(owner string) map[string][]marshaler {
	ids := []uint64{ownTrace(owner), sharedTrace}
	from, to := start.Add(-time.Hour), start.Add(time.Hour)
	var byID1, byID2 []marshaler
	for _, id := range ids {
		traceID := model.NewTraceID(binary.BigEndian.Uint64(idOf(id)), id)
		byID1 = append(byID1, &storage_v1.GetTraceRequest{TraceID: traceID})
		byID2 = append(byID2, protobuf{&storagepb.GetTracesRequest{Query: []*storagepb.GetTraceParams{{TraceId: idOf(id)}}}})
	}
	query1 := []*storage_v1.TraceQueryParameters{
		{ServiceName: front(owner), StartTimeMin: from, StartTimeMax: to, NumTraces: 1000},
		{StartTimeMin: from, StartTimeMax: to, NumTraces: 1000},
	}
	stamp := timestamppb.New
	query2 := []*storagepb.TraceQueryParameters{
		{ServiceName: front(owner), StartTimeMin: stamp(from), StartTimeMax: stamp(to), SearchDepth: 1000},
		{StartTimeMin: stamp(from), StartTimeMax: stamp(to), SearchDepth: 1000},
	}
	all := map[string][]marshaler{
		"/jaeger.storage.v1.SpanReaderPlugin/GetTrace":               byID1,
		"/jaeger.storage.v1.ArchiveSpanReaderPlugin/GetArchiveTrace": byID1,
		"/jaeger.storage.v1.SpanReaderPlugin/GetServices":            {&storage_v1.GetServicesRequest{}},
		"/jaeger.storage.v1.SpanReaderPlugin/GetOperations":          {&storage_v1.GetOperationsRequest{Service: front(owner)}},
		"/jaeger.storage.v1.SpanReaderPlugin/FindTraces":             {&storage_v1.FindTracesRequest{Query: query1[0]}, &storage_v1.FindTracesRequest{Query: query1[1]}},
		"/jaeger.storage.v1.SpanReaderPlugin/FindTraceIDs":           {&storage_v1.FindTraceIDsRequest{Query: query1[0]}, &storage_v1.FindTraceIDsRequest{Query: query1[1]}},
		"/jaeger.storage.v1.DependenciesReaderPlugin/GetDependencies": {
			&storage_v1.GetDependenciesRequest{StartTime: from, EndTime: to},
		},
		"/jaeger.storage.v1.PluginCapabilities/Capabilities": {&storage_v1.CapabilitiesRequest{}},
		"/jaeger.storage.v1.SpanWriterPlugin/Close":          {&storage_v1.CloseWriterRequest{}},

		"/jaeger.storage.v2.TraceReader/GetTraces":            byID2,
		"/jaeger.storage.v2.TraceReader/GetServices":          {protobuf{&storagepb.GetServicesRequest{}}},
		"/jaeger.storage.v2.TraceReader/GetOperations":        {protobuf{&storagepb.GetOperationsRequest{Service: front(owner)}}},
		"/jaeger.storage.v2.DependencyReader/GetDependencies": {protobuf{&storagepb.GetDependenciesRequest{StartTime: stamp(from), EndTime: stamp(to)}}},
		"/jaeger.storage.v2.Capabilities/GetCapabilities":     {protobuf{&storagepb.GetCapabilitiesRequest{}}},
		"/jaeger.storage.v2.TraceReader/FindTraces":           nil,
		"/jaeger.storage.v2.TraceReader/FindTraceIDs":         nil,
		"/jaeger.storage.v2.TraceReader/FindTraceSummaries":   nil,
		"/jaeger.storage.v2.TraceReader/FindSpans":            {protobuf{&storagepb.FindSpansRequest{Query: spansQuery(from, to)}}},
	}
	for _, q := range query2 {
		for name, request := range map[string]proto.Message{
			"FindTraces": &storagepb.FindTracesRequest{Query: q}, "FindTraceIDs": &storagepb.FindTraceIDsRequest{Query: q}, "FindTraceSummaries": &storagepb.FindTraceSummariesRequest{Query: q},
		} {
			method := "/jaeger.storage.v2.TraceReader/" + name
			all[method] = append(all[method], protobuf{request})
		}
	}
	return all
}

func spansQuery(from, to time.Time) *storagepb.SpanQueryParameters {
	return &storagepb.SpanQueryParameters{StartTimeMin: timestamppb.New(from), StartTimeMax: timestamppb.New(to), Pagination: &storagepb.Pagination{PageSize: 1000}}
}

// writes are the requests by which each call would write a new trace, with spans that bear the secret of nobody.
var writes = map[string]func(id uint64) marshaler{
	"/jaeger.storage.v1.SpanWriterPlugin/WriteSpan":                func(id uint64) marshaler { return span(id) },
	"/jaeger.storage.v1.ArchiveSpanWriterPlugin/WriteArchiveSpan":  func(id uint64) marshaler { return span(id) },
	"/jaeger.storage.v1.StreamingSpanWriterPlugin/WriteSpanStream": func(id uint64) marshaler { return span(id) },
	"/opentelemetry.proto.collector.trace.v1.TraceService/Export": func(id uint64) marshaler {
		return protobuf{&tracepb.TracesData{ResourceSpans: []*tracepb.ResourceSpans{{
			Resource: &resourcepb.Resource{Attributes: []*commonpb.KeyValue{text("service.name", "intruder")}},
			ScopeSpans: []*tracepb.ScopeSpans{{Spans: []*tracepb.Span{{
				TraceId: idOf(id), SpanId: binary.BigEndian.AppendUint64(nil, 1), Name: "in", StartTimeUnixNano: uint64(start.UnixNano()), EndTimeUnixNano: uint64(start.UnixNano()),
			}}}},
		}}}}
	},
}

func span(id uint64) *storage_v1.WriteSpanRequest {
	return &storage_v1.WriteSpanRequest{Span: &model.Span{
		TraceID: model.NewTraceID(binary.BigEndian.Uint64(idOf(id)), id), SpanID: 1, OperationName: "in", StartTime: start, Process: &model.Process{ServiceName: "intruder"},
	}}
}

// attempt is a way to make a call, and whose data it may then be about; with a code nobody's.
type attempt struct {
	name   string
	md     metadata.MD
	tenant string
	code   codes.Code
}

// try makes every call there is in this way, for what each owner has, and looks at all that comes back.
func (w *world) try(s *server, a attempt) {
	t := w.t
	t.Helper()
	ctx := metadata.NewOutgoingContext(t.Context(), a.md)
	for _, method := range slices.Sorted(maps.Keys(s.methods)) {
		mine := s.whose(method, a.tenant)
		got := make(map[string]bool)
		check := func(request []byte, answers [][]byte, err error) {
			t.Helper()
			code := status.Code(err)
			switch {
			case bearNoTenant[method]:
				if code != codes.OK {
					t.Errorf("%s, %s: %v", a.name, method, err)
				}
			case a.code != codes.OK && (code != a.code && code != codes.Unimplemented || len(answers) > 0):
				t.Errorf("%s, %s: %d answers, %v; want %v", a.name, method, len(answers), err, a.code)
			case a.code == codes.OK && code != codes.OK && code != codes.NotFound && code != codes.Unimplemented:
				t.Errorf("%s, %s: %v", a.name, method, err)
			}
			if err != nil {
				answers = append(answers, []byte(err.Error()))
			}
			for _, owner := range owners {
				for _, mark := range found(owner) {
					for _, answer := range answers {
						if !bytes.Contains(answer, mark) || err != nil && bytes.Contains(request, mark) {
							continue
						}
						if got[owner] = true; owner != mine || a.code != codes.OK || bearNoTenant[method] {
							t.Errorf("%s, %s: what %q has came to %q: %q", a.name, method, owner, mine, answer)
						}
					}
				}
			}
		}
		if write, ok := writes[method]; ok {
			id := 1000 + uint64(len(w.wrote))
			w.wrote[id] = mine
			request := marshal(t, write(id))
			answers, err := s.call(ctx, method, request)
			check(request, answers, err)
			continue
		}
		for _, owner := range owners {
			requests, ok := questions(owner)[method]
			if !ok {
				t.Fatalf("%s is a call that this test has no request for: say how it would get at another tenant's data", method)
			}
			for _, request := range requests {
				request := marshal(t, request)
				answers, err := s.call(ctx, method, request)
				if check(request, answers, err); status.Code(err) == codes.Unimplemented {
					got[mine] = true
				}
			}
		}
		if slices.Contains(owners, mine) && !bearNoTenant[method] && !got[mine] {
			t.Errorf("%s, %s: %q did not get what it has", a.name, method, mine)
		}
	}
}

func marshal(t testing.TB, m marshaler) []byte {
	t.Helper()
	b, err := m.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// written fails the test if a trace that was written is anywhere but with whom it was written for, or what the owners have has changed.
func (w *world) written() {
	w.t.Helper()
	reader := readpath.NewReader(w.read)
	has := func(tenant string, id uint64) []byte {
		data, err := reader.Trace(w.t.Context(), tenant, trace.ID(idOf(id)))
		if err != nil && !errors.Is(err, readpath.ErrTraceNotFound) {
			w.t.Fatal(err)
		}
		return data
	}
	stored := 0
	tenants := slices.Clone(owners)
	for _, whose := range w.wrote {
		if whose != "" && !slices.Contains(tenants, whose) {
			tenants = append(tenants, whose)
		}
	}
	if w.all != nil {
		for _, tenant := range w.all() {
			if !slices.Contains(tenants, tenant) {
				w.t.Errorf("nothing was written for %q", tenant)
			}
		}
	}
	for _, tenant := range tenants {
		for id, whose := range w.wrote {
			if is := len(has(tenant, id)) > 0; is != (whose == tenant) {
				w.t.Errorf("trace %d was written for %q, and it is %v that %q has it", id, whose, is, tenant)
			} else if is {
				stored++
			}
		}
		if !slices.Contains(owners, tenant) {
			continue
		}
		for _, id := range []uint64{ownTrace(tenant), sharedTrace} {
			if got, err := trace.Spans(has(tenant, id)); got != 2 || err != nil {
				w.t.Errorf("%d spans of trace %d of %q: %v", got, id, tenant, err)
			}
		}
	}
	want := 0
	for _, whose := range w.wrote {
		if whose != "" {
			want++
		}
	}
	if stored != want || want == 0 {
		w.t.Errorf("%d of %d writes are stored", stored, want)
	}
}

func openTenancy(t *testing.T, o tenancy.Options) *tenancy.Tenants {
	t.Helper()
	o.Enabled = true
	tenants, err := tenancy.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(tenants.Close)
	return tenants
}

// odd are names that a client might try to get at what globex has.
var odd = []string{
	"../globex", "./globex", "globex/", "/globex", "acme/../globex", `..\globex`, "globex~archive", "acme~archive", "globex~", "globex'", " globex/", "globex,acme", "globex;", "globex%00",
	".", "..", "~archive", "quarantine", "", strings.Repeat("g", 143), strings.Repeat("globex", 1000), "*",
}

func TestNoCallGetsAtAnotherTenantsData(t *testing.T) {
	const tokenAcme, tokenGlobex, tokenAll, tokenOld = "token-of-acme-1234", "token-of-globex-56", "token-of-all-7890", "token-of-globex-old"
	file := filepath.Join(t.TempDir(), "tokens")
	if err := os.WriteFile(file, []byte(tokenAcme+" acme\n"+tokenGlobex+" globex\n"+tokenAll+" *\n"+tokenOld+" globex 2020-01-01T00:00:00Z\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	pairs := metadata.Pairs
	named := []attempt{
		{"the one", pairs("x-tenant", acme), acme, codes.OK},
		{"the other", pairs("x-tenant", globex), globex, codes.OK},
		{"the one, twice", pairs("x-tenant", acme, "x-tenant", acme), acme, codes.OK},
		{"both", pairs("x-tenant", acme, "x-tenant", globex), "", codes.InvalidArgument},
		{"with a token that means nothing", pairs("x-tenant", acme, "bearer.token", tokenGlobex, "authorization", "Bearer "+tokenGlobex), acme, codes.OK},
	}
	token := []attempt{
		{"token of the one", pairs("bearer.token", tokenAcme), acme, codes.OK},
		{"token of the other", pairs("authorization", "Bearer "+tokenGlobex), globex, codes.OK},
		{"token of all, the one", pairs("bearer.token", tokenAll, "x-tenant", acme), acme, codes.OK},
		{"token of all, none", pairs("bearer.token", tokenAll), "", codes.InvalidArgument},
		{"token of all, both", pairs("bearer.token", tokenAll, "x-tenant", acme, "x-tenant", globex), "", codes.InvalidArgument},
		{"foreign token", pairs("bearer.token", tokenAcme, "x-tenant", globex), "", codes.PermissionDenied},
		{"foreign token in authorization", pairs("authorization", "Bearer "+tokenAcme, "x-tenant", globex), "", codes.PermissionDenied},
		{"both tokens", pairs("bearer.token", tokenAcme, "authorization", "Bearer "+tokenGlobex, "x-tenant", globex), "", codes.Unauthenticated},
		{"both tokens the other way", pairs("bearer.token", tokenGlobex, "authorization", "Bearer "+tokenAcme, "x-tenant", globex), "", codes.Unauthenticated},
		{"expired token", pairs("bearer.token", tokenOld, "x-tenant", globex), "", codes.Unauthenticated},
		{"wrong token", pairs("bearer.token", tokenGlobex+"7", "x-tenant", globex), "", codes.Unauthenticated},
		{"part of a token", pairs("bearer.token", tokenGlobex[:16], "x-tenant", globex), "", codes.Unauthenticated},
		{"token of another kind", pairs("authorization", "Basic "+tokenGlobex, "x-tenant", globex), "", codes.Unauthenticated},
		{"no token", pairs("x-tenant", globex), "", codes.Unauthenticated},
		{"nothing", nil, "", codes.Unauthenticated},
	}
	for _, name := range odd {
		named = append(named, attempt{fmt.Sprintf("%.40q", name), pairs("x-tenant", name), "", codes.InvalidArgument})
		token = append(token, attempt{fmt.Sprintf("token of all, %.40q", name), pairs("bearer.token", tokenAll, "x-tenant", name), "", codes.InvalidArgument})
	}
	listed := slices.Concat(named, []attempt{
		{"in capitals", pairs("x-tenant", "GLOBEX"), "", codes.PermissionDenied},
		{"not listed", pairs("x-tenant", "initech"), "", codes.PermissionDenied},
		{"none", nil, "", codes.InvalidArgument},
		{"another header", pairs("x-tenants", globex, "tenant", globex, "x-scope-orgid", globex), "", codes.InvalidArgument},
	})
	open := slices.Concat(named, []attempt{
		{"in capitals", pairs("x-tenant", "GLOBEX"), "GLOBEX", codes.OK},
		{"unknown", pairs("x-tenant", "initech"), "initech", codes.OK},
		{"none", nil, acme, codes.OK},
		{"another header", pairs("x-tenants", globex, "tenant", globex), acme, codes.OK},
	})
	for name, c := range map[string]struct {
		world    func(*testing.T) *world
		o        tenancy.Options
		attempts []attempt
	}{
		"listed tenants":       {newWorld, tenancy.Options{Allowed: []string{acme, globex}, Default: "single-tenant"}, listed},
		"any tenant":           {newWorld, tenancy.Options{Default: acme}, open},
		"tokens":               {newWorld, tenancy.Options{TokensFile: file}, token},
		"tokens, in a cluster": {newCluster, tenancy.Options{TokensFile: file}, token[:6]},
	} {
		t.Run(name, func(t *testing.T) {
			w := c.world(t)
			tenants := openTenancy(t, c.o)
			for _, archive := range []bool{false, true} {
				s := w.serve(tenants, archive)
				for _, a := range c.attempts {
					w.try(s, a)
				}
			}
			w.written()
		})
	}
}

// A token of a page says where a search goes on, and nothing of whose it is.
func TestThePageOfOneTenantGoesOnWithAnotherInItsOwnData(t *testing.T) {
	w := newWorld(t)
	s := w.serve(openTenancy(t, tenancy.Options{}), false)
	client := storagepb.NewTraceReaderClient(s.conn)
	q := func(token string) *storagepb.FindTraceIDsRequest {
		return &storagepb.FindTraceIDsRequest{Query: &storagepb.TraceQueryParameters{
			StartTimeMin: timestamppb.New(start.Add(-time.Hour)), StartTimeMax: timestamppb.New(start.Add(time.Hour)), Pagination: &storagepb.Pagination{PageSize: 1, PageToken: token},
		}}
	}
	as := func(tenant string) context.Context {
		return metadata.AppendToOutgoingContext(t.Context(), "x-tenant", tenant)
	}
	first, err := client.FindTraceIDs(as(acme), q(""))
	if err != nil || first.NextPageToken == "" {
		t.Fatal(first, err)
	}
	next, err := client.FindTraceIDs(as(globex), q(first.NextPageToken))
	if err != nil && status.Code(err) != codes.InvalidArgument {
		t.Fatal(err)
	}
	for _, of := range next.GetTraceIds() {
		if id := of.TraceId; !bytes.Equal(id, idOf(sharedTrace)) && !bytes.Equal(id, idOf(ownTrace(globex))) {
			t.Errorf("%q", id)
		}
	}
}
