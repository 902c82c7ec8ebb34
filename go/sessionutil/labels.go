package sessionutil

import (
	"os"
	"strings"
)

// What environment variables with labels begin with: MILVUS_SERVER_LABEL_NAME for all roles,
// MILVUS_SERVER_LABEL_ROLE_NAME for one, which wins.
const (
	SupportedLabelPrefix = "MILVUS_SERVER_LABEL_"
	LabelStandalone      = "STANDALONE"
	LabelResourceGroup   = "RESOURCE_GROUP"
)

// The words for a role in the name of a label.
var labelRoles = map[string]string{
	"mixcoord": "mixcoord", "coord": "mixcoord",
	"querynode": "querynode", "qn": "querynode",
	"datanode": "datanode", "dn": "datanode",
	"streamingnode": "streamingnode", "sn": "streamingnode",
	"proxy": "proxy",
}

// The labels that the environment gives a role.
func labelsOf(role string, environment []string) map[string]string {
	labels, own := map[string]string{}, map[string]string{}
	for _, entry := range environment {
		name, value, _ := strings.Cut(entry, "=")
		label, ok := strings.CutPrefix(name, SupportedLabelPrefix)
		if !ok || label == "" {
			continue
		}
		first, rest, more := strings.Cut(label, "_")
		switch labelRoles[strings.ToLower(first)] {
		case "":
			labels[label] = value
		case role:
			if more {
				own[rest] = value
			}
		}
	}
	for name, value := range own {
		labels[name] = value
	}
	return labels
}

func labelsFromEnvironment(role string) map[string]string { return labelsOf(role, os.Environ()) }
