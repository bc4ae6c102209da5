package jaegerv1

import (
	"encoding/json"
	"math"

	"github.com/jaegertracing/jaeger/model"
	"google.golang.org/protobuf/encoding/protowire"
)

// value is an OTLP AnyValue: the number of the field that is set, 0 for none, and what is in it.
type value struct {
	field protowire.Number
	n     uint64 // of a bool, an int or a double
	body  string // of a string, of bytes, or the message of an array or a list of key values
}

// readAttribute reads a KeyValue message.
func readAttribute(message string) (key string, v value, err error) {
	c := walk(message)
	for c.next() {
		switch {
		case c.is(keyValueKey, protowire.BytesType):
			key = c.body
		case c.is(keyValueValue, protowire.BytesType):
			if err := v.read(c.body); err != nil {
				return "", value{}, err
			}
		}
	}
	return key, v, c.err
}

// read reads an AnyValue message; the last field that is set wins.
func (v *value) read(message string) error {
	c := walk(message)
	for c.next() {
		switch {
		case c.is(valueString, protowire.BytesType),
			c.is(valueArray, protowire.BytesType),
			c.is(valueKvlist, protowire.BytesType),
			c.is(valueBytes, protowire.BytesType):
			*v = value{field: c.num, body: c.body}
		case c.is(valueBool, protowire.VarintType),
			c.is(valueInt, protowire.VarintType),
			c.is(valueDouble, protowire.Fixed64Type):
			*v = value{field: c.num, n: c.n}
		}
	}
	return c.err
}

// tag makes a Jaeger tag of the value. No value is an empty string, as in Jaeger's conventions.
func (v value) tag(key string) (model.KeyValue, error) {
	switch v.field {
	case valueString:
		return model.String(key, v.body), nil
	case valueBool:
		return model.Bool(key, v.n != 0), nil
	case valueInt:
		return model.Int64(key, int64(v.n)), nil
	case valueDouble:
		return model.Float64(key, math.Float64frombits(v.n)), nil
	case valueBytes:
		tag := model.KeyValue{Key: key, VType: model.BinaryType}
		if v.body != "" { // none and empty are one on Jaeger's wire
			tag.VBinary = []byte(v.body)
		}
		return tag, nil
	case valueArray, valueKvlist:
		text, err := v.json()
		return model.String(key, text), err
	}
	return model.String(key, ""), nil
}

// maxDepth bounds the nesting of arrays and lists that is shown. Deeper values read "…".
const maxDepth = 100

// json returns an array or a list as JSON: keys sorted, the last of equal keys, bytes in base64. With
// a number in it that JSON does not have it is empty, as in Jaeger's conventions.
func (v value) json() (string, error) {
	tree, err := v.tree(maxDepth)
	if err != nil {
		return "", err
	}
	text, _ := json.Marshal(tree)
	return string(text), nil
}

func (v value) tree(depth int) (any, error) {
	switch v.field {
	case valueString:
		return v.body, nil
	case valueBool:
		return v.n != 0, nil
	case valueInt:
		return int64(v.n), nil
	case valueDouble:
		return math.Float64frombits(v.n), nil
	case valueBytes:
		return []byte(v.body), nil
	case valueArray, valueKvlist:
		if depth == 0 {
			return "…", nil
		}
		if v.field == valueArray {
			return arrayTree(v.body, depth-1)
		}
		return kvlistTree(v.body, depth-1)
	}
	return nil, nil
}

func arrayTree(message string, depth int) (any, error) {
	items := []any{}
	c := walk(message)
	for c.next() {
		if !c.is(listValues, protowire.BytesType) {
			continue
		}
		var item value
		if err := item.read(c.body); err != nil {
			return nil, err
		}
		sub, err := item.tree(depth)
		if err != nil {
			return nil, err
		}
		items = append(items, sub)
	}
	return items, c.err
}

func kvlistTree(message string, depth int) (any, error) {
	items := map[string]any{}
	c := walk(message)
	for c.next() {
		if !c.is(listValues, protowire.BytesType) {
			continue
		}
		key, item, err := readAttribute(c.body)
		if err != nil {
			return nil, err
		}
		if items[key], err = item.tree(depth); err != nil {
			return nil, err
		}
	}
	return items, c.err
}

// texts returns the strings of an array, and whether it is an array of strings only.
func (v value) texts() ([]string, bool) {
	if v.field != valueArray {
		return nil, false
	}
	var texts []string
	c := walk(v.body)
	for c.next() {
		var item value
		if !c.is(listValues, protowire.BytesType) || item.read(c.body) != nil || item.field != valueString {
			return nil, false
		}
		texts = append(texts, item.body)
	}
	return texts, c.err == nil
}
