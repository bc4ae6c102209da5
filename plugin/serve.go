package plugin

import (
	"context"
	"errors"
	"slices"

	"github.com/hashicorp/go-hclog"
	goplugin "github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
)

// PluginName is what Jaeger asks a plugin for.
const PluginName = "storage_plugin"

// protocolVersion is the version of the set of services under PluginName.
const protocolVersion = 1

// Handshake is what Jaeger and its storage plugins know each other by. It prevents that a plugin is
// started by hand, and is not a secret.
var Handshake = goplugin.HandshakeConfig{
	MagicCookieKey:   "STORAGE_PLUGIN",
	MagicCookieValue: "jaeger",
}

// MaxReceive is the size in bytes of the largest message that a server takes. gRPC answers a larger one
// with ResourceExhausted.
const MaxReceive = 64 << 20

// GRPCPlugin offers services to a process that loads plugins. It implements goplugin.GRPCPlugin.
type GRPCPlugin struct {
	goplugin.NetRPCUnsupportedPlugin
	Services *Services
}

var _ goplugin.GRPCPlugin = (*GRPCPlugin)(nil)

// GRPCServer registers the services.
func (p *GRPCPlugin) GRPCServer(_ *goplugin.GRPCBroker, server *grpc.Server) error {
	p.Services.Register(server)
	return nil
}

// GRPCClient always fails: the side that loads plugins is Jaeger's.
func (*GRPCPlugin) GRPCClient(context.Context, *goplugin.GRPCBroker, *grpc.ClientConn) (any, error) {
	return nil, errors.New("this is the plugin, not what loads it")
}

// ServePlugin serves the Jaeger that started this process, and returns when it asks for shutdown or when ctx ends. Jaeger
// waits about 2 seconds after it asked before it kills: close the store at once. Calls may still be in flight,
// but no answer reaches anybody.
//
// The first line that the process prints to stdout must be the one that this function prints. Without
// the environment of a plugin it prints an explanation and ends the process with status 1. extra are options of the server.
func ServePlugin(ctx context.Context, services *Services, logger hclog.Logger, extra ...grpc.ServerOption) {
	goplugin.Serve(&goplugin.ServeConfig{
		HandshakeConfig: Handshake,
		VersionedPlugins: map[int]goplugin.PluginSet{
			protocolVersion: {PluginName: &GRPCPlugin{Services: services}},
		},
		GRPCServer: func(options []grpc.ServerOption) *grpc.Server {
			server := grpc.NewServer(slices.Concat(options, extra, []grpc.ServerOption{grpc.MaxRecvMsgSize(MaxReceive), grpc.ForceServerCodecV2(Codec{})})...)
			context.AfterFunc(ctx, server.Stop)
			return server
		},
		Logger: logger,
	})
}
