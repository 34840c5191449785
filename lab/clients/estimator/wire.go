package main

import (
	"encoding/binary"
	"fmt"
)

// What the contract says of messages, written and read by hand: numbers of fields and nothing else.

type message []byte

func (m message) key(field, kind uint64) message {
	return binary.AppendUvarint(m, field<<3|kind)
}

func (m message) number(field uint64, value int64) message {
	return binary.AppendUvarint(m.key(field, 0), uint64(value))
}

func (m message) bytes(field uint64, value []byte) message {
	return append(binary.AppendUvarint(m.key(field, 2), uint64(len(value))), value...)
}

func (m message) text(field uint64, value string) message { return m.bytes(field, []byte(value)) }

func (m message) entry(field uint64, key string, value []byte) message {
	return m.bytes(field, message{}.text(1, key).bytes(2, value))
}

// One field as it came: a number, or bytes.
type field struct {
	id     uint64
	number uint64
	bytes  []byte
}

func read(data []byte) ([]field, error) {
	var found []field
	for len(data) > 0 {
		key, taken := binary.Uvarint(data)
		if taken <= 0 {
			return nil, fmt.Errorf("no key in %x", data)
		}
		data = data[taken:]
		value, taken := binary.Uvarint(data)
		if taken <= 0 {
			return nil, fmt.Errorf("no value of field %d", key>>3)
		}
		data = data[taken:]
		switch key & 7 {
		case 0:
			found = append(found, field{id: key >> 3, number: value})
		case 2:
			if value > uint64(len(data)) {
				return nil, fmt.Errorf("field %d is cut off", key>>3)
			}
			found = append(found, field{id: key >> 3, bytes: data[:value]})
			data = data[value:]
		default:
			return nil, fmt.Errorf("field %d has wire type %d", key>>3, key&7)
		}
	}
	return found, nil
}

// A kind of message: names of its fields by number.
type shape map[uint64]part

type part struct {
	name string
	// of is the shape of a message; nil for text and numbers.
	of shape
	// repeated fields become lists, maps become objects.
	repeated bool
	mapped   bool
	// number is true of integers; everything else comes as bytes.
	number bool
}

var (
	quantity    = shape{1: {name: "string"}}
	requirement = shape{1: {name: "key"}, 2: {name: "operator"}, 3: {name: "values", repeated: true}}
	term        = shape{
		1: {name: "matchExpressions", of: requirement, repeated: true},
		2: {name: "matchFields", of: requirement, repeated: true},
	}
	nodeSelector = shape{1: {name: "nodeSelectorTerms", of: term, repeated: true}}
	toleration   = shape{
		1: {name: "key"}, 2: {name: "operator"}, 3: {name: "value"}, 4: {name: "effect"},
		5: {name: "tolerationSeconds", number: true},
	}
	nodeClaim = shape{
		2: {name: "nodeSelector", mapped: true},
		4: {name: "nodeAffinity", of: nodeSelector},
		5: {name: "tolerations", of: toleration, repeated: true},
	}
	replicaRequirements = shape{
		1: {name: "nodeClaim", of: nodeClaim},
		3: {name: "namespace"},
		4: {name: "priorityClassName"},
		5: {name: "resourceRequest", mapped: true, of: quantity},
	}
	componentRequirements = shape{
		1: {name: "nodeClaim", of: nodeClaim},
		3: {name: "priorityClassName"},
		4: {name: "resourceRequest", mapped: true, of: quantity},
	}
	component = shape{
		1: {name: "name"},
		2: {name: "replicaRequirements", of: componentRequirements},
		3: {name: "replicas", number: true},
	}
	assumed = shape{1: {name: "namespace"}, 2: {name: "components", of: component, repeated: true}}
	object  = shape{1: {name: "apiVersion"}, 2: {name: "kind"}, 3: {name: "namespace"}, 4: {name: "name"}}

	requests = map[string]shape{
		"MaxAvailableReplicas": {
			1: {name: "cluster"},
			2: {name: "replicaRequirements", of: replicaRequirements},
			3: {name: "assumedWorkloads", of: assumed, repeated: true},
		},
		"MaxAvailableComponentSets": {
			1: {name: "cluster"},
			2: {name: "components", of: component, repeated: true},
			3: {name: "namespace"},
			4: {name: "assumedWorkloads", of: assumed, repeated: true},
		},
		"GetUnschedulableReplicas": {
			1: {name: "cluster"},
			2: {name: "resource", of: object},
			3: {name: "unschedulableThreshold", number: true},
		},
	}
)

func (p part) value(f field) (any, error) {
	switch {
	case p.number:
		return int64(f.number), nil
	case p.of != nil:
		return shown(f.bytes, p.of)
	default:
		return string(f.bytes), nil
	}
}

// shown is a message as JSON shows it. A field the contract does not know is an error.
func shown(data []byte, of shape) (map[string]any, error) {
	fields, err := read(data)
	if err != nil {
		return nil, err
	}
	found := map[string]any{}
	for _, f := range fields {
		p, known := of[f.id]
		if !known {
			return nil, fmt.Errorf("field %d is none of the contract's", f.id)
		}
		if p.mapped {
			entries, _ := found[p.name].(map[string]any)
			if entries == nil {
				entries = map[string]any{}
			}
			entry, err := shown(f.bytes, shape{1: {name: "key"}, 2: {name: "value", of: p.of}})
			if err != nil {
				return nil, err
			}
			key, _ := entry["key"].(string)
			entries[key] = entry["value"]
			found[p.name] = entries
			continue
		}
		value, err := p.value(f)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p.name, err)
		}
		if p.repeated {
			list, _ := found[p.name].([]any)
			value = append(list, value)
		}
		found[p.name] = value
	}
	return found, nil
}
