// Calls a pachd as a client of 1.5 in Go does, with grpc-go, and prints what it found.
//
// Usage: client HOST:PORT, built with the packages made of proto/. Each line is one scene, in JSON. client.py does the
// same in Python: clients.test.ts holds both to one expectation.
package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/golang/protobuf/ptypes/empty"
	"github.com/golang/protobuf/ptypes/wrappers"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"

	"pachyderm/health"
	"pachyderm/pfs"
	"pachyderm/pps"
	versionpb "pachyderm/version"
)

// What clients of 1.5 let an answer hold.
const messageBytesMax = 20 * 1024 * 1024
const pieceBytes = 1000 * 1000

var nothing = &empty.Empty{}

type object map[string]interface{}

// A client of every service, on one connection.
type client struct {
	ctx        context.Context
	connection *grpc.ClientConn
	files      pfs.APIClient
	objects    pfs.ObjectAPIClient
	jobs       pps.APIClient
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func tell(scene string, found object) {
	found["scene"] = scene
	line, err := json.Marshal(found)
	must(err)
	fmt.Println(string(line))
}

func repoOf(name string) *pfs.Repo {
	return &pfs.Repo{Name: name}
}

func commitOf(repo, commit string) *pfs.Commit {
	return &pfs.Commit{Repo: repoOf(repo), Id: commit}
}

func fileOf(repo, commit, path string) *pfs.File {
	return &pfs.File{Commit: commitOf(repo, commit), Path: path}
}

// The bytes that client.py makes, too.
func seeded(length int) []byte {
	bytes := make([]byte, length)
	for i := range bytes {
		bytes[i] = byte(i*31 + i>>8)
	}
	return bytes
}

func digest(bytes []byte) string {
	sum := sha256.Sum256(bytes)
	return hex.EncodeToString(sum[:])
}

// How a call failed: the name of its code as Python has it, and its text.
func refusal(err error) (string, string) {
	names := map[codes.Code]string{
		codes.OK:               "OK",
		codes.Unknown:          "UNKNOWN",
		codes.DeadlineExceeded: "DEADLINE_EXCEEDED",
		codes.Unimplemented:    "UNIMPLEMENTED",
	}
	failed := status.Convert(err)
	name, known := names[failed.Code()]
	if !known {
		name = failed.Code().String()
	}
	return name, failed.Message()
}

func refusalWith(err error, part string) []interface{} {
	name, text := refusal(err)
	return []interface{}{name, strings.Contains(text, part)}
}

func codeOf(err error) string {
	name, _ := refusal(err)
	return name
}

// The first message names the file, the others only carry bytes.
func (c *client) put(repo, commit, path string, bytes []byte) error {
	stream, err := c.files.PutFile(c.ctx)
	if err != nil {
		return err
	}
	request := &pfs.PutFileRequest{File: fileOf(repo, commit, path)}
	for {
		size := len(bytes)
		if size > pieceBytes {
			size = pieceBytes
		}
		request.Value = bytes[:size]
		if err := stream.Send(request); err == io.EOF {
			break // The server has answered already.
		} else if err != nil {
			return err
		}
		bytes = bytes[size:]
		if len(bytes) == 0 {
			break
		}
		request = &pfs.PutFileRequest{}
	}
	_, err = stream.CloseAndRecv()
	return err
}

type bytesStream interface {
	Recv() (*wrappers.BytesValue, error)
}

func collect(stream bytesStream, err error) ([]byte, error) {
	if err != nil {
		return nil, err
	}
	all := []byte{}
	for {
		piece, err := stream.Recv()
		if err == io.EOF {
			return all, nil
		}
		if err != nil {
			return nil, err
		}
		all = append(all, piece.Value...)
	}
}

func (c *client) getRange(repo, commit, path string, offset, size int64) []byte {
	request := &pfs.GetFileRequest{File: fileOf(repo, commit, path), OffsetBytes: offset, SizeBytes: size}
	bytes, err := collect(c.files.GetFile(c.ctx, request))
	must(err)
	return bytes
}

func (c *client) get(repo, commit, path string) []byte {
	return c.getRange(repo, commit, path, 0, 0)
}

func (c *client) start(repo string) string {
	commit, err := c.files.StartCommit(c.ctx, &pfs.StartCommitRequest{Parent: commitOf(repo, ""), Branch: "master"})
	must(err)
	return commit.Id
}

func (c *client) finish(repo, commit string) {
	_, err := c.files.FinishCommit(c.ctx, &pfs.FinishCommitRequest{Commit: commitOf(repo, commit)})
	must(err)
}

func (c *client) createRepo(name string) {
	_, err := c.files.CreateRepo(c.ctx, &pfs.CreateRepoRequest{Repo: repoOf(name)})
	must(err)
}

func (c *client) list(repo, commit, path string) []*pfs.FileInfo {
	infos, err := c.files.ListFile(c.ctx, &pfs.ListFileRequest{File: fileOf(repo, commit, path)})
	must(err)
	return infos.FileInfo
}

func (c *client) glob(repo, commit, pattern string) []*pfs.FileInfo {
	infos, err := c.files.GlobFile(c.ctx, &pfs.GlobFileRequest{Commit: commitOf(repo, commit), Pattern: pattern})
	must(err)
	return infos.FileInfo
}

func pathsOf(infos []*pfs.FileInfo) []string {
	paths := []string{}
	for _, info := range infos {
		paths = append(paths, info.File.Path)
	}
	return paths
}

func (c *client) server() {
	answer, err := versionpb.NewAPIClient(c.connection).GetVersion(c.ctx, nothing)
	must(err)
	_, err = health.NewHealthClient(c.connection).Health(c.ctx, nothing)
	must(err)
	tell("server", object{"version": fmt.Sprintf("%d.%d", answer.Major, answer.Minor)})
}

func (c *client) repos() {
	create := &pfs.CreateRepoRequest{Repo: repoOf("data"), Description: "of a client"}
	_, err := c.files.CreateRepo(c.ctx, create)
	must(err)
	_, again := c.files.CreateRepo(c.ctx, create)
	_, missing := c.files.InspectRepo(c.ctx, &pfs.InspectRepoRequest{Repo: repoOf("nowhere")})
	infos, err := c.files.ListRepo(c.ctx, &pfs.ListRepoRequest{})
	must(err)
	names, descriptions := []string{}, []string{}
	for _, info := range infos.RepoInfo {
		names = append(names, info.Repo.Name)
		descriptions = append(descriptions, info.Description)
	}
	tell("repos", object{
		"again":        refusalWith(again, "already exists"),
		"missing":      refusalWith(missing, "not found"),
		"names":        names,
		"descriptions": descriptions,
	})
}

func (c *client) wholeFiles() {
	commit := c.start("data")
	must(c.put("data", commit, "big.bin", seeded(3500*1000)))
	must(c.put("data", commit, "dir/a.txt", []byte("alpha\n")))
	must(c.put("data", commit, "dir/b.txt", []byte("beta\n")))
	must(c.put("data", commit, "dir/empty", nil))
	must(c.put("data", commit, "dir/a.txt", []byte("again\n")))
	c.finish("data", commit)
	big, err := c.files.InspectFile(c.ctx, &pfs.InspectFileRequest{File: fileOf("data", commit, "big.bin")})
	must(err)
	info, err := c.files.InspectCommit(c.ctx, &pfs.InspectCommitRequest{Commit: commitOf("data", commit)})
	must(err)
	tell("whole files", object{
		"big":      digest(c.get("data", "master", "big.bin")),
		"bigSize":  big.SizeBytes,
		"range":    digest(c.getRange("data", commit, "big.bin", 1234567, 890)),
		"appended": string(c.get("data", "master", "dir/a.txt")),
		"empty":    len(c.get("data", "master", "dir/empty")),
		"listed":   pathsOf(c.list("data", "master", "dir")),
		"globbed":  pathsOf(c.glob("data", "master", "*/?.txt")),
		"finished": info.Finished != nil,
	})
}

func (c *client) refusedWrites() {
	info, err := c.files.InspectCommit(c.ctx, &pfs.InspectCommitRequest{Commit: commitOf("data", "master")})
	must(err)
	finished := c.put("data", info.Commit.Id, "late", []byte("late"))
	stream, err := c.files.PutFile(c.ctx)
	must(err)
	must(stream.Send(&pfs.PutFileRequest{Value: []byte("whose?")}))
	_, nameless := stream.CloseAndRecv()
	_, absent := collect(c.files.GetFile(c.ctx, &pfs.GetFileRequest{File: fileOf("data", "master", "none")}))
	tell("refused writes", object{
		"finished": refusalWith(finished, "finished"),
		"nameless": codeOf(nameless),
		"absent":   refusalWith(absent, "not found"),
		"unknown":  codeOf(c.connection.Invoke(c.ctx, "/pfs.API/Nonesuch", nothing, &empty.Empty{})),
	})
}

func (c *client) cancelledUpload() {
	commit := c.start("data")
	must(c.put("data", commit, "kept", []byte("kept\n")))
	ctx, cancel := context.WithCancel(c.ctx)
	stream, err := c.files.PutFile(ctx)
	must(err)
	must(stream.Send(&pfs.PutFileRequest{File: fileOf("data", commit, "lost"), Value: seeded(pieceBytes)}))
	must(stream.Send(&pfs.PutFileRequest{Value: seeded(pieceBytes)}))
	cancel()
	c.finish("data", commit)
	tell("cancelled upload", object{"listed": pathsOf(c.list("data", commit, "/"))})
}

func (c *client) cancelledDownload() {
	ctx, cancel := context.WithCancel(c.ctx)
	stream, err := c.files.GetFile(ctx, &pfs.GetFileRequest{File: fileOf("data", "master", "big.bin")})
	must(err)
	first, err := stream.Recv()
	must(err)
	cancel()
	tell("cancelled download", object{
		"began": len(first.Value) > 0,
		"after": string(c.get("data", "master", "kept")),
	})
}

func (c *client) manyAtOnce() {
	c.createRepo("many")
	commit := c.start("many")
	failed := []string{}
	var lock sync.Mutex
	var writers sync.WaitGroup
	for number := 0; number < 20; number++ {
		writers.Add(1)
		go func(number int) {
			defer writers.Done()
			for turn := 0; turn < 20; turn++ {
				path := fmt.Sprintf("%02d/%02d", number, turn)
				if err := c.put("many", commit, path, []byte(fmt.Sprintf("%d %d\n", number, turn))); err != nil {
					lock.Lock()
					failed = append(failed, err.Error())
					lock.Unlock()
				}
			}
		}(number)
	}
	writers.Wait()
	c.finish("many", commit)
	tell("many at once", object{
		"failed": failed,
		"files":  len(c.glob("many", commit, "*/*")),
		"one":    string(c.get("many", commit, "07/13")),
	})
}

func (c *client) largeAnswer() {
	c.createRepo("wide")
	commit := c.start("wide")
	lines := strings.Builder{}
	for number := 0; number < 20000; number++ {
		fmt.Fprintf(&lines, "%d\n", number)
	}
	stream, err := c.files.PutFile(c.ctx)
	must(err)
	must(stream.Send(&pfs.PutFileRequest{
		File:             fileOf("wide", commit, "lines"),
		Value:            []byte(lines.String()),
		Delimiter:        pfs.Delimiter_LINE,
		TargetFileDatums: 1,
	}))
	_, err = stream.CloseAndRecv()
	must(err)
	c.finish("wide", commit)
	listed := c.list("wide", commit, "lines")
	tell("large answer", object{"listed": len(listed), "last": listed[len(listed)-1].File.Path})
}

func (c *client) keptObjects() {
	upload, err := c.objects.PutObject(c.ctx)
	must(err)
	must(upload.Send(&pfs.PutObjectRequest{Value: []byte("one "), Tags: []*pfs.Tag{{Name: "tagged"}}}))
	must(upload.Send(&pfs.PutObjectRequest{Value: []byte("object")}))
	made, err := upload.CloseAndRecv()
	must(err)
	byName, err := collect(c.objects.GetObject(c.ctx, made))
	must(err)
	byTag, err := collect(c.objects.GetTag(c.ctx, &pfs.Tag{Name: "tagged"}))
	must(err)
	several, err := collect(c.objects.GetObjects(c.ctx, &pfs.GetObjectsRequest{
		Objects:     []*pfs.Object{made, made},
		OffsetBytes: 4,
		SizeBytes:   10,
	}))
	must(err)
	tags := []string{}
	tagStream, err := c.objects.ListTags(c.ctx, &pfs.ListTagsRequest{Prefix: "tag"})
	must(err)
	for {
		answer, err := tagStream.Recv()
		if err == io.EOF {
			break
		}
		must(err)
		tags = append(tags, answer.Tag)
	}
	isListed := false
	objectStream, err := c.objects.ListObjects(c.ctx, &pfs.ListObjectsRequest{})
	must(err)
	for {
		answer, err := objectStream.Recv()
		if err == io.EOF {
			break
		}
		must(err)
		isListed = isListed || answer.Hash == made.Hash
	}
	exists, err := c.objects.CheckObject(c.ctx, &pfs.CheckObjectRequest{Object: made})
	must(err)
	absent, err := c.objects.CheckObject(c.ctx, &pfs.CheckObjectRequest{
		Object: &pfs.Object{Hash: strings.Repeat("0", 128)},
	})
	must(err)
	tell("kept objects", object{
		"byName":  string(byName),
		"byTag":   string(byTag),
		"several": string(several),
		"tags":    tags,
		"listed":  isListed,
		"exists":  exists.Exists,
		"absent":  absent.Exists,
	})
}

// A subscription tells of a commit that comes while it waits, and ends when its time is over.
func (c *client) waiting() {
	c.createRepo("events")
	request := &pfs.SubscribeCommitRequest{Repo: repoOf("events"), Branch: "master"}
	short, cancelShort := context.WithTimeout(c.ctx, 300*time.Millisecond)
	defer cancelShort()
	stream, err := c.files.SubscribeCommit(short, request)
	must(err)
	_, over := stream.Recv()
	long, cancelLong := context.WithTimeout(c.ctx, time.Minute)
	defer cancelLong()
	stream, err = c.files.SubscribeCommit(long, request)
	must(err)
	time.AfterFunc(1500*time.Millisecond, func() { c.finish("events", c.start("events")) })
	told, err := stream.Recv()
	must(err)
	tell("waiting", object{"over": codeOf(over), "told": told.Finished != nil})
}

func (c *client) jobOf(pipeline string) *pps.JobInfo {
	listed, err := c.jobs.ListJob(c.ctx, &pps.ListJobRequest{Pipeline: &pps.Pipeline{Name: pipeline}})
	must(err)
	if len(listed.JobInfo) != 1 {
		must(fmt.Errorf("%d jobs of %s", len(listed.JobInfo), pipeline))
	}
	job, err := c.jobs.InspectJob(c.ctx, &pps.InspectJobRequest{Job: listed.JobInfo[0].Job, BlockState: true})
	must(err)
	return job
}

func (c *client) flush(request *pfs.FlushCommitRequest) ([]*pfs.Commit, error) {
	stream, err := c.files.FlushCommit(c.ctx, request)
	must(err)
	commits := []*pfs.Commit{}
	for {
		info, err := stream.Recv()
		if err == io.EOF {
			return commits, nil
		}
		if err != nil {
			return nil, err
		}
		commits = append(commits, info.Commit)
	}
}

func (c *client) pipelines() {
	c.createRepo("words")
	_, err := c.jobs.CreatePipeline(c.ctx, &pps.CreatePipelineRequest{
		Pipeline:        &pps.Pipeline{Name: "copies"},
		Transform:       &pps.Transform{Cmd: []string{"sh"}, Stdin: []string{"cp /pfs/words/* /pfs/out/", "echo copied"}},
		ParallelismSpec: &pps.ParallelismSpec{Constant: 1},
		Input:           &pps.Input{Atom: &pps.AtomInput{Repo: "words", Glob: "/*"}},
	})
	must(err)
	commit := c.start("words")
	for _, name := range []string{"a", "b", "c"} {
		must(c.put("words", commit, name, []byte("word "+name+"\n")))
	}
	c.finish("words", commit)
	outputs, err := c.flush(&pfs.FlushCommitRequest{Commits: []*pfs.Commit{commitOf("words", commit)}})
	must(err)
	job := c.jobOf("copies")
	datums, err := c.jobs.ListDatum(c.ctx, &pps.ListDatumRequest{Job: job.Job})
	must(err)
	logged := []string{}
	logs, err := c.jobs.GetLogs(c.ctx, &pps.GetLogsRequest{Job: job.Job})
	must(err)
	for {
		line, err := logs.Recv()
		if err == io.EOF {
			break
		}
		must(err)
		if line.User {
			logged = append(logged, strings.TrimSpace(line.Message))
		}
	}
	repos := []string{}
	for _, output := range outputs {
		repos = append(repos, output.Repo.Name)
	}
	tell("pipelines", object{
		"outputs":   repos,
		"state":     job.State.String(),
		"processed": job.DataProcessed,
		"total":     job.DataTotal,
		"datums":    len(datums.DatumInfo),
		"logged":    logged,
		"output":    string(c.get("copies", outputs[0].Id, "b")),
	})
}

func (c *client) failingPipeline() {
	_, err := c.jobs.CreatePipeline(c.ctx, &pps.CreatePipelineRequest{
		Pipeline:  &pps.Pipeline{Name: "fails"},
		Transform: &pps.Transform{Cmd: []string{"false"}},
		Input:     &pps.Input{Atom: &pps.AtomInput{Repo: "words", Glob: "/a"}},
	})
	must(err)
	job := c.jobOf("fails")
	_, flushed := c.flush(&pfs.FlushCommitRequest{
		Commits: []*pfs.Commit{commitOf("words", "master")},
		ToRepos: []*pfs.Repo{repoOf("fails")},
	})
	_, inUse := c.files.DeleteRepo(c.ctx, &pfs.DeleteRepoRequest{Repo: repoOf("words")})
	tell("failing pipeline", object{
		"state":   job.State.String(),
		"flushed": codeOf(flushed),
		"inUse":   codeOf(inUse),
	})
}

func (c *client) ends() {
	_, err := c.jobs.DeleteAll(c.ctx, nothing)
	must(err)
	_, err = c.files.DeleteAll(c.ctx, nothing)
	must(err)
	infos, err := c.files.ListRepo(c.ctx, &pfs.ListRepoRequest{})
	must(err)
	tell("ends", object{"repos": len(infos.RepoInfo)})
}

func main() {
	connection, err := grpc.Dial(
		os.Args[1],
		grpc.WithInsecure(),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(messageBytesMax)),
		// As often as it may be.
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 10 * time.Second, PermitWithoutStream: true}),
	)
	must(err)
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	c := &client{
		ctx:        ctx,
		connection: connection,
		files:      pfs.NewAPIClient(connection),
		objects:    pfs.NewObjectAPIClient(connection),
		jobs:       pps.NewAPIClient(connection),
	}
	c.server()
	c.repos()
	c.wholeFiles()
	c.refusedWrites()
	c.cancelledUpload()
	c.cancelledDownload()
	c.manyAtOnce()
	c.largeAnswer()
	c.keptObjects()
	c.waiting()
	c.pipelines()
	c.failingPipeline()
	c.ends()
}
