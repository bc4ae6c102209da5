// Package tenancy says whose data a call is about, by the gRPC metadata that comes with it.
//
//	tenants, err := tenancy.New(tenancy.Options{Enabled: true, Header: "x-tenant", Default: "acme", TokensFile: file})
//	services := plugin.New(plugin.Options{…, TenantOf: tenants.Of})
//	defer tenants.Close()
//
// # Promise
//
// Of returns a name that Options allow and that the call's token gives access to, or an error that is a gRPC status:
//
//   - Unauthenticated: the token is missing, unknown or expired, or there are several.
//   - PermissionDenied: the tenant is none of the token's, or is not allowed.
//   - InvalidArgument: the name can't be a tenant's, several are named, or none is where one must be.
//
// A name is a folder of the store. What a client sends can be no path, and no archive's (tracedb.CheckName): whose archive a call
// is about is decided by the call, after its tenant is known.
//
// # Tokens
//
// Both forms in which Jaeger sends a token are understood: the metadata bearer.token, in which jaeger-query passes on that of its user, and
// authorization. Jaeger v1 sends it with reads only, see [Options.ReadsOnly]. Of a token only the hash is kept in memory, and it is looked
// up by its hash, so the time that takes tells nothing about those there are. Neither a token nor a line of the file is ever in an
// error or in the log.
//
// All methods may be called concurrently.
package tenancy
