//go:build cgo

package sessionutil

import (
	"maps"
	"testing"
)

// As Milvus 3.0.0-beta and 2.6.7 wrote them.
var records = map[string]string{
	"3.0": `{"ServerID":1,"ServerName":"mixcoord","Address":"127.0.0.1:53100","Exclusive":true,"Version":"3.0.0-beta",` +
		`"IndexEngineVersion":{},"ScalarIndexEngineVersion":{},"LeaseID":5007617984793799174,"HostName":"vm"}`,
	"2.6": `{"ServerID":1,"ServerName":"mixcoord","Address":"127.0.0.1:53113","Exclusive":true,"TriggerKill":true,` +
		`"Version":"2.6.7","IndexEngineVersion":{},"ScalarIndexEngineVersion":{},"LeaseID":5007617984793799419,` +
		`"HostName":"vm"}`,
	"a node": `{"ServerID":7,"ServerName":"querynode","Address":"127.0.0.1:1","Stopping":true,"Version":"3.0.0",` +
		`"IndexEngineVersion":{"MinimalIndexVersion":1,"CurrentIndexVersion":2,"MaximumIndexVersion":3},` +
		`"ScalarIndexEngineVersion":{"CurrentIndexVersion":2},"IndexNonEncoding":true,"LeaseID":9,` +
		`"ServerLabels":{"a":"b"}}`,
}

func TestARecordIsWrittenAsItWasRead(t *testing.T) {
	for name, record := range records {
		var s Session
		if err := s.UnmarshalJSON([]byte(record)); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		made, err := s.MarshalJSON()
		if err != nil || string(made) != record {
			t.Errorf("%s: %v\n%s\n%s", name, err, record, made)
		}
	}
}

func TestARecordWithMoreFieldsIsReadAndOneWithABadVersionIsNot(t *testing.T) {
	var s Session
	if err := s.UnmarshalJSON([]byte(`{"ServerID":2,"Version":"","New":[1]}`)); err != nil || s.ServerID != 2 {
		t.Errorf("%+v, %v", s.SessionRaw, err)
	}
	for _, bad := range []string{`{"Version":"two"}`, `nonsense`, `[]`, `{"ServerID":"1"}`} {
		if err := s.UnmarshalJSON([]byte(bad)); err == nil {
			t.Errorf("read: %s", bad)
		}
	}
}

func TestLabelsComeFromTheEnvironment(t *testing.T) {
	environment := []string{
		"MILVUS_SERVER_LABEL_zone=a", "MILVUS_SERVER_LABEL_RESOURCE_GROUP=all", "MILVUS_SERVER_LABEL_COORD_zone=mine",
		"MILVUS_SERVER_LABEL_querynode_other=no", "MILVUS_SERVER_LABEL_=no", "MILVUS_SERVER_LABEL_QN=no", "PATH=/bin", "ODD",
	}
	if labels := labelsOf("mixcoord", environment); !maps.Equal(labels, map[string]string{
		"zone": "mine", "RESOURCE_GROUP": "all",
	}) {
		t.Errorf("%v", labels)
	}
	if labels := labelsOf("rootcoord", environment); labels["zone"] != "a" {
		t.Errorf("%v", labels)
	}
}
