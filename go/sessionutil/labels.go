package sessionutil

import (
	"maps"
	"os"
	"strings"
)

// What environment variables with labels begin with: MILVUS_SERVER_LABEL_NAME for all roles,
// MILVUS_SERVER_LABEL_ROLE_NAME for one, which wins. And the labels that Milvus gives a meaning.
const (
	SupportedLabelPrefix = "MILVUS_SERVER_LABEL_"

	LabelStreamingNodeEmbeddedQueryNode       = "STREAMING-EMBEDDED"
	LegacyLabelStreamingNodeEmbeddedQueryNode = "QUERYNODE_" + LabelStreamingNodeEmbeddedQueryNode
	LabelStandalone                           = "STANDALONE"
	LabelResourceGroup                        = "RESOURCE_GROUP"
)

// NewServerLabel is the name of the environment variable by which servers of role, or all if it is empty, get label.
func NewServerLabel(role string, label string) string {
	name := strings.ToUpper(label)
	if role != "" {
		name = strings.ToUpper(role) + "_" + name
	}
	return SupportedLabelPrefix + name
}

// EnableEmbededQueryNodeLabel gives the query nodes of this process the label of one inside a streaming node.
func EnableEmbededQueryNodeLabel() {
	_ = os.Setenv(NewServerLabel("querynode", LabelStreamingNodeEmbeddedQueryNode), "1")
}

// EnableStandaloneLabel gives all servers of this process the label of a standalone one.
func EnableStandaloneLabel() { _ = os.Setenv(NewServerLabel("", LabelStandalone), "1") }

// The words for a role in the name of a label.
var labelRoles = map[string]string{
	"mixcoord": "mixcoord", "coord": "mixcoord",
	"querynode": "querynode", "qn": "querynode",
	"datanode": "datanode", "dn": "datanode",
	"streamingnode": "streamingnode", "sn": "streamingnode",
	"proxy": "proxy",
}

// Nil: none.
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
	maps.Copy(labels, own)
	if len(labels) == 0 {
		return nil
	}
	return labels
}

// GetServerLabelsFromEnv returns the labels that the environment gives a role; nil: none.
func GetServerLabelsFromEnv(role string) map[string]string { return labelsOf(role, os.Environ()) }
