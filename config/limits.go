package config

import (
	"strings"

	"gopkg.in/yaml.v3"
)

// Tenant is what may be set for a tenant by itself.
type Tenant struct {
	Limits    Limits
	Retention Retention
}

// LoadLimits reads the file that limits.file names: a section for each tenant, with keys of the section limits, and with those of retention. What a
// tenant does not set is as in all. The error is as of Load.
func LoadLimits(file string, all Tenant, env LookupEnv) (map[string]Tenant, error) {
	data, err := read(file)
	if err != nil {
		return nil, err
	}
	return ParseLimits(file, data, all, env)
}

// ParseLimits reads the contents of the file.
func ParseLimits(file string, data []byte, all Tenant, env LookupEnv) (map[string]Tenant, error) {
	all.Limits.File = ""
	p := parser{env: env, seen: map[string]int{}}
	found := make(map[string]Tenant)
	p.document(data, "a section for each tenant, with its limits", func(at *yaml.Node, name string, v *yaml.Node) {
		p.config = Config{Limits: all.Limits, Retention: all.Retention}
		var checked string
		switch err := (tenant{&checked}).set(name); {
		case name == "":
			p.problem(at.Line, name, "is empty: name a tenant")
		case err != nil:
			p.problem(at.Line, name, "%s", err)
		case isNull(v):
		case v.Kind != yaml.MappingNode:
			p.problem(v.Line, name, "is %s: it is a tenant, with limits below it", describe(v))
		default:
			p.pairs(v, name+".", func(at *yaml.Node, full string, v *yaml.Node) {
				if k := findLimit(at.Value); k != nil {
					p.value(k, full, v)
					return
				}
				p.problem(at.Line, full, "unknown key; known here: %s, retention_age, retention_bytes", strings.TrimSuffix(siblings("limits.?"), ", file"))
			})
		}
		found[name] = Tenant{p.config.Limits, p.config.Retention}
	})
	if err := p.err(file); err != nil {
		return nil, err
	}
	return found, nil
}

// findLimit returns the key that is written so in a tenant's section, or nil.
func findLimit(name string) *Key {
	if of, ok := strings.CutPrefix(name, "retention_"); ok {
		return find("retention." + of)
	}
	if name == "file" {
		return nil
	}
	return find("limits." + name)
}
