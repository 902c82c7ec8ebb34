package sessionutil

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// Where Milvus's processes say which servers they run, for `milvus stop`.
const serverInfoFolder = "/tmp/milvus"

// GetServerInfoFilePath is the file in which the process pid says which servers it runs. Its folder is made.
func GetServerInfoFilePath(pid int) string {
	_ = os.Mkdir(serverInfoFolder, os.ModePerm)
	return filepath.Join(serverInfoFolder, fmt.Sprintf("server_id_%d", pid))
}

// SaveServerInfo adds a server of this process to its file.
func SaveServerInfo(role string, serverID int64) { _ = saveServerInfo(role, serverID, os.Getpid()) }

func saveServerInfo(role string, serverID int64, pid int) error {
	file, err := os.OpenFile(GetServerInfoFilePath(pid), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o664)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(file, "%s-%d\n", role, serverID)
	return errors.Join(err, file.Close())
}

// GetSessions returns the servers of the process pid, as ROLE-ID; none where there is no file of it.
func GetSessions(pid int) []string {
	text, err := fs.ReadFile(os.DirFS(serverInfoFolder), filepath.Base(GetServerInfoFilePath(pid)))
	if err != nil {
		return []string{}
	}
	return strings.Fields(string(text))
}

// RemoveServerInfoFile removes the file of the process pid.
func RemoveServerInfoFile(pid int) { _ = os.Remove(GetServerInfoFilePath(pid)) }

// GetSessionPrefixByRole is where the sessions of role are, below Milvus's meta root.
func GetSessionPrefixByRole(metaRoot, role string) string {
	return path.Join(metaRoot, DefaultServiceRoot, role)
}
