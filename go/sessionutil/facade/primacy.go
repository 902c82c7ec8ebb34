//go:build primacy

// Package sessionutil registers the servers of Milvus in etcd and elects its coordinators.
//
// With the build tag primacy it is this file, over primacy.example/go/sessionutil: the same names, the same keys and records,
// so that servers built with and without the tag make one cluster. Without the tag it is Milvus's own code, as it was.
package sessionutil

import (
	"context"
	"log/slog"
	"strconv"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	kvfactory "github.com/milvus-io/milvus/internal/util/dependency/kv"
	"github.com/milvus-io/milvus/pkg/v2/common"
	"github.com/milvus-io/milvus/pkg/v2/log"
	"github.com/milvus-io/milvus/pkg/v2/util/paramtable"
	"primacy.example/go"
	"primacy.example/go/sessionutil"
)

type (
	IndexEngineVersion = sessionutil.IndexEngineVersion
	MockSession        = sessionutil.MockSession
	MockSessionWatcher = sessionutil.MockSessionWatcher
	Rewatch            = sessionutil.Rewatch
	Session            = sessionutil.Session
	SessionEvent       = sessionutil.SessionEvent
	SessionEventType   = sessionutil.SessionEventType
	SessionInterface   = sessionutil.SessionInterface
	SessionOption      = sessionutil.SessionOption
	SessionRaw         = sessionutil.SessionRaw
	SessionWatcher     = sessionutil.SessionWatcher
)

const (
	DefaultIDKey           = sessionutil.DefaultIDKey
	DefaultServiceRoot     = sessionutil.DefaultServiceRoot
	MilvusNodeIDForTesting = sessionutil.MilvusNodeIDForTesting

	LabelResourceGroup                        = sessionutil.LabelResourceGroup
	LabelStandalone                           = sessionutil.LabelStandalone
	LabelStreamingNodeEmbeddedQueryNode       = sessionutil.LabelStreamingNodeEmbeddedQueryNode
	LegacyLabelStreamingNodeEmbeddedQueryNode = sessionutil.LegacyLabelStreamingNodeEmbeddedQueryNode
	SupportedLabelPrefix                      = sessionutil.SupportedLabelPrefix

	SessionNoneEvent   = sessionutil.SessionNoneEvent
	SessionAddEvent    = sessionutil.SessionAddEvent
	SessionDelEvent    = sessionutil.SessionDelEvent
	SessionUpdateEvent = sessionutil.SessionUpdateEvent

	// What a lost session ends the process with, as without the tag.
	exitCodeSessionLeaseExpired = 1
)

var (
	EmptySessionWatcher          = sessionutil.EmptySessionWatcher
	EnableEmbededQueryNodeLabel  = sessionutil.EnableEmbededQueryNodeLabel
	EnableStandaloneLabel        = sessionutil.EnableStandaloneLabel
	GetServerInfoFilePath        = sessionutil.GetServerInfoFilePath
	GetSessions                  = sessionutil.GetSessions
	NewMockSession               = sessionutil.NewMockSession
	NewMockSessionWatcher        = sessionutil.NewMockSessionWatcher
	NewServerLabel               = sessionutil.NewServerLabel
	RemoveServerInfoFile         = sessionutil.RemoveServerInfoFile
	SaveServerInfo               = sessionutil.SaveServerInfo
	WithIndexEngineVersion       = sessionutil.WithIndexEngineVersion
	WithIndexNonEncoding         = sessionutil.WithIndexNonEncoding
	WithResueNodeID              = sessionutil.WithResueNodeID
	WithRetryTimes               = sessionutil.WithRetryTimes
	WithScalarIndexEngineVersion = sessionutil.WithScalarIndexEngineVersion
	WithTTL                      = sessionutil.WithTTL
)

// GetSessionPrefixByRole is where the sessions of role are in etcd.
func GetSessionPrefixByRole(role string) string {
	return sessionutil.GetSessionPrefixByRole(paramtable.Get().EtcdCfg.MetaRootPath.GetValue(), role)
}

// NewSession makes a session for the etcd that Milvus is configured with.
func NewSession(ctx context.Context, opts ...SessionOption) *Session {
	client, path := kvfactory.GetEtcdAndPath()
	return NewSessionWithEtcd(ctx, path, client, opts...)
}

// NewSessionWithEtcd makes a session below metaRoot. Others are read and watched with client; the own lease and keys are on
// connections of their own, to the etcd that Milvus is configured with. A server whose session is lost ends, as without the
// tag.
func NewSessionWithEtcd(ctx context.Context, metaRoot string, client *clientv3.Client, opts ...SessionOption) *Session {
	own := []SessionOption{
		sessionutil.WithNodeIDs(paramtable.GetNodeID, paramtable.SetNodeID),
		// Several clusters in one process have ids of their own.
		sessionutil.WithResueNodeID(!paramtable.Get().IntegrationTestCfg.IntegrationMode.GetAsBool()),
	}
	return sessionutil.NewSession(ctx, config(metaRoot), client,
		sessionutil.Exit(exitCodeSessionLeaseExpired, log.Cleanup), append(own, opts...)...)
}

func config(metaRoot string) primacy.Config {
	etcd, session := &paramtable.Get().EtcdCfg, &paramtable.Get().CommonCfg
	settings := map[string]string{
		"etcd.requestTimeout":       etcd.RequestTimeout.GetValue(),
		"common.session.retryTimes": session.SessionRetryTimes.GetValue(),
		"etcd.ssl.enabled":          strconv.FormatBool(etcd.EtcdUseSSL.GetAsBool()),
		"etcd.auth.enabled":         strconv.FormatBool(etcd.EtcdEnableAuth.GetAsBool()),
	}
	if etcd.EtcdUseSSL.GetAsBool() {
		settings["etcd.ssl.tlsCert"] = etcd.EtcdTLSCert.GetValue()
		settings["etcd.ssl.tlsKey"] = etcd.EtcdTLSKey.GetValue()
		settings["etcd.ssl.tlsCACert"] = etcd.EtcdTLSCACert.GetValue()
		settings["etcd.ssl.tlsMinVersion"] = etcd.EtcdTLSMinVersion.GetValue()
	}
	if etcd.EtcdEnableAuth.GetAsBool() {
		settings["etcd.auth.userName"] = etcd.EtcdAuthUserName.GetValue()
		settings["etcd.auth.password"] = etcd.EtcdAuthPassword.GetValue()
	}
	var endpoints []string
	for _, endpoint := range etcd.Endpoints.GetAsStrings() {
		endpoints = append(endpoints, strings.TrimSpace(endpoint))
	}
	return primacy.Config{
		Endpoints: endpoints,
		Root:      metaRoot,
		TTL:       time.Duration(session.SessionTTL.GetAsInt64()) * time.Second,
		Settings:  settings,
		Candidate: primacy.Candidate{Version: common.Version.String()},
		Logger:    slog.New(handler{}),
	}
}

// Writes what the library says into Milvus's log.
type handler struct{ fields []zap.Field }

func (handler) Enabled(context.Context, slog.Level) bool { return true }

func (h handler) Handle(ctx context.Context, record slog.Record) error {
	fields := append([]zap.Field{log.FieldComponent("service-registration")}, h.fields...)
	record.Attrs(func(attr slog.Attr) bool {
		fields = append(fields, zap.Any(attr.Key, attr.Value.Any()))
		return true
	})
	logger := log.Ctx(ctx)
	switch {
	case record.Level >= slog.LevelError:
		logger.Error(record.Message, fields...)
	case record.Level >= slog.LevelWarn:
		logger.Warn(record.Message, fields...)
	case record.Level >= slog.LevelInfo:
		logger.Info(record.Message, fields...)
	default:
		logger.Debug(record.Message, fields...)
	}
	return nil
}

func (h handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	fields := append([]zap.Field{}, h.fields...)
	for _, attr := range attrs {
		fields = append(fields, zap.Any(attr.Key, attr.Value.Any()))
	}
	return handler{fields}
}

func (h handler) WithGroup(string) slog.Handler { return h }
