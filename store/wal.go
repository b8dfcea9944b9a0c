package store

import "github.com/cockroachdb/pebble/v2/vfs"

// logFS writes zeros ahead of the engine's new logs. A sync of bytes within a file costs one write to the disk; one of bytes
// that make the file longer, or that lie where nothing was ever written, also one of the file system's own journal,
// which takes from a tenth longer to twice as long, by the disk and its load. Pebble uses old logs again for
// this reason, but has none to use until four megabytes were written after each start. To a reader, zeros at the
// end of a log are its end, as what an earlier use left there is.
type logFS struct{ vfs.FS }

// logCategory is what Pebble calls its logs.
const logCategory vfs.DiskWriteCategory = "pebble-wal"

// Create makes a file, which writes ahead of itself if it is a log.
func (fs logFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := fs.FS.Create(name, category)
	if err != nil || category != logCategory {
		return f, err
	}
	return &logFile{File: f}, nil
}

// Unwrap returns the file system below.
func (fs logFS) Unwrap() vfs.FS { return fs.FS }

// ahead is how far zeros are written at once. The sync that follows takes all of it to the disk, so it is little.
var ahead [256 << 10]byte

// logFile is a new log. Like every file of an engine it has one writer.
type logFile struct {
	vfs.File
	end    int64 // of what the engine wrote
	zeroed int64 // up to here the file was written to
	failed bool  // zeros could not be written; the log is then an ordinary file
}

func (f *logFile) Write(p []byte) (int, error) {
	end := f.end + int64(len(p))
	if end > f.zeroed && !f.failed {
		if _, err := f.WriteAt(ahead[:], end); err != nil {
			f.failed = true // a full disk is room's to notice
		}
		f.zeroed = end + int64(len(ahead))
	}
	n, err := f.File.Write(p)
	f.end += int64(n)
	return n, err
}
