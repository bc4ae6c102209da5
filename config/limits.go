package config

import (
	"strings"

	"gopkg.in/yaml.v3"
)

// LoadLimits reads the file that limits.file names: a section for each tenant, with keys of the section limits. What a tenant does not set is as
// in all. The error is as of Load.
func LoadLimits(file string, all Limits, env LookupEnv) (map[string]Limits, error) {
	data, err := read(file)
	if err != nil {
		return nil, err
	}
	return ParseLimits(file, data, all, env)
}

// ParseLimits reads the contents of the file.
func ParseLimits(file string, data []byte, all Limits, env LookupEnv) (map[string]Limits, error) {
	all.File = ""
	p := parser{env: env, seen: map[string]int{}}
	tenants := make(map[string]Limits)
	p.document(data, "a section for each tenant, with its limits", func(at *yaml.Node, tenant string, v *yaml.Node) {
		p.config = Config{Limits: all}
		var checked string
		switch err := (name{&checked, "a tenant"}).set(tenant); {
		case err != nil:
			p.problem(at.Line, tenant, "%s", err)
		case isNull(v):
		case v.Kind != yaml.MappingNode:
			p.problem(v.Line, tenant, "is %s: it is a tenant, with limits below it", describe(v))
		default:
			p.pairs(v, tenant+".", func(at *yaml.Node, full string, v *yaml.Node) {
				k := find("limits." + at.Value)
				if k == nil || k.Name == "limits.file" {
					p.problem(at.Line, full, "unknown key; known here: %s", strings.TrimSuffix(siblings("limits.?"), ", file"))
					return
				}
				p.value(k, full, v)
			})
		}
		tenants[tenant] = p.config.Limits
	})
	if err := p.err(file); err != nil {
		return nil, err
	}
	return tenants, nil
}
