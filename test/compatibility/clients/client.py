"""Calls a pachd as a client of 1.5 in Python does, with grpcio, and prints what it found.

Usage: client.py HOST:PORT, with the modules made of proto/ on the path. Each line is one scene, in JSON. client.go does
the same in Go: clients.test.ts holds both to one expectation.
"""

import hashlib
import json
import sys
import threading

import grpc
import health_pb2_grpc
import pfs_pb2 as pfs
import pfs_pb2_grpc
import pps_pb2 as pps
import pps_pb2_grpc
import version_pb2_grpc
from google.protobuf import empty_pb2

NOTHING = empty_pb2.Empty()
# What clients of 1.5 let an answer hold.
MESSAGE_BYTES_MAX = 20 * 1024 * 1024
PIECE_BYTES = 1_000_000

# Pings as often as a client may send them while a call waits.
channel = grpc.insecure_channel(
    sys.argv[1],
    options=[
        ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
        ("grpc.keepalive_time_ms", 500),
        ("grpc.http2.max_pings_without_data", 0),
    ],
)
files = pfs_pb2_grpc.APIStub(channel)
objects = pfs_pb2_grpc.ObjectAPIStub(channel)
jobs = pps_pb2_grpc.APIStub(channel)


def tell(scene, **found):
    print(json.dumps({"scene": scene, **found}), flush=True)


def repo_of(name):
    return pfs.Repo(name=name)


def commit_of(repo, commit):
    return pfs.Commit(repo=repo_of(repo), id=commit)


def file_of(repo, commit, path):
    return pfs.File(commit=commit_of(repo, commit), path=path)


def seeded(length):
    """The bytes that client.go makes, too."""
    return bytes((i * 31 + (i >> 8)) & 0xFF for i in range(length))


def digest(data):
    return hashlib.sha256(data).hexdigest()


def pieces_of(file, data):
    """The first message names the file, the others only carry bytes."""
    yield pfs.PutFileRequest(file=file, value=data[:PIECE_BYTES])
    for start in range(PIECE_BYTES, len(data), PIECE_BYTES):
        yield pfs.PutFileRequest(value=data[start : start + PIECE_BYTES])


def put(repo, commit, path, data):
    files.PutFile(pieces_of(file_of(repo, commit, path), data))


def get(repo, commit, path, offset=0, size=0):
    request = pfs.GetFileRequest(file=file_of(repo, commit, path), offset_bytes=offset, size_bytes=size)
    return b"".join(piece.value for piece in files.GetFile(request))


def refusal(call, *args, **options):
    """How a call fails: the name of its code, and its text."""
    try:
        answer = call(*args, **options)
        if hasattr(answer, "__next__"):
            list(answer)
    except grpc.RpcError as error:
        return error.code().name, error.details()
    return "OK", ""


def start(repo, branch="master"):
    return files.StartCommit(pfs.StartCommitRequest(parent=commit_of(repo, ""), branch=branch)).id


def finish(repo, commit):
    files.FinishCommit(pfs.FinishCommitRequest(commit=commit_of(repo, commit)))


def server():
    version = version_pb2_grpc.APIStub(channel).GetVersion(NOTHING)
    health_pb2_grpc.HealthStub(channel).Health(NOTHING)
    tell("server", version=f"{version.major}.{version.minor}")


def repos():
    create = pfs.CreateRepoRequest(repo=repo_of("data"), description="of a client")
    files.CreateRepo(create)
    code, text = refusal(files.CreateRepo, create)
    missing = refusal(files.InspectRepo, pfs.InspectRepoRequest(repo=repo_of("nowhere")))
    infos = files.ListRepo(pfs.ListRepoRequest()).repo_info
    tell(
        "repos",
        again=[code, "already exists" in text],
        missing=[missing[0], "not found" in missing[1]],
        names=[info.repo.name for info in infos],
        descriptions=[info.description for info in infos],
    )


def whole_files():
    data = seeded(3_500_000)
    commit = start("data")
    put("data", commit, "big.bin", data)
    put("data", commit, "dir/a.txt", b"alpha\n")
    put("data", commit, "dir/b.txt", b"beta\n")
    put("data", commit, "dir/empty", b"")
    put("data", commit, "dir/a.txt", b"again\n")
    finish("data", commit)
    listed = files.ListFile(pfs.ListFileRequest(file=file_of("data", "master", "dir"))).file_info
    globbed = files.GlobFile(pfs.GlobFileRequest(commit=commit_of("data", "master"), pattern="*/?.txt")).file_info
    big = files.InspectFile(pfs.InspectFileRequest(file=file_of("data", commit, "big.bin")))
    tell(
        "whole files",
        big=digest(get("data", "master", "big.bin")),
        bigSize=big.size_bytes,
        range=digest(get("data", commit, "big.bin", 1_234_567, 890)),
        appended=get("data", "master", "dir/a.txt").decode(),
        empty=len(get("data", "master", "dir/empty")),
        listed=[info.file.path for info in listed],
        globbed=[info.file.path for info in globbed],
        finished=files.InspectCommit(pfs.InspectCommitRequest(commit=commit_of("data", commit))).HasField("finished"),
    )


def refused_writes():
    commit = files.InspectCommit(pfs.InspectCommitRequest(commit=commit_of("data", "master"))).commit.id
    finished = refusal(files.PutFile, pieces_of(file_of("data", commit, "late"), b"late"))
    nameless = refusal(files.PutFile, iter([pfs.PutFileRequest(value=b"whose?")]))
    absent = refusal(files.GetFile, pfs.GetFileRequest(file=file_of("data", "master", "none")))
    unknown = channel.unary_unary("/pfs.API/Nonesuch", request_serializer=lambda _: b"", response_deserializer=bytes)
    tell(
        "refused writes",
        finished=[finished[0], "finished" in finished[1]],
        nameless=nameless[0],
        absent=[absent[0], "not found" in absent[1]],
        unknown=refusal(unknown, None)[0],
    )


def cancelled_upload():
    commit = start("data")
    put("data", commit, "kept", b"kept\n")
    sent = threading.Event()
    given_up = threading.Event()

    def requests():
        yield pfs.PutFileRequest(file=file_of("data", commit, "lost"), value=seeded(PIECE_BYTES))
        yield pfs.PutFileRequest(value=seeded(PIECE_BYTES))
        sent.set()
        given_up.wait()

    call = files.PutFile.future(requests())
    sent.wait()
    call.cancel()
    given_up.set()
    finish("data", commit)
    listed = files.ListFile(pfs.ListFileRequest(file=file_of("data", commit, "/"))).file_info
    tell("cancelled upload", listed=[info.file.path for info in listed])


def cancelled_download():
    call = files.GetFile(pfs.GetFileRequest(file=file_of("data", "master", "big.bin")))
    first = next(call)
    call.cancel()
    tell("cancelled download", began=len(first.value) > 0, after=get("data", "master", "kept").decode())


def many_at_once():
    files.CreateRepo(pfs.CreateRepoRequest(repo=repo_of("many")))
    commit = start("many")
    failed = []

    def writer(number):
        try:
            for turn in range(20):
                put("many", commit, f"{number:02}/{turn:02}", f"{number} {turn}\n".encode())
        except grpc.RpcError as error:
            failed.append(error.details())

    threads = [threading.Thread(target=writer, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    finish("many", commit)
    globbed = files.GlobFile(pfs.GlobFileRequest(commit=commit_of("many", commit), pattern="*/*")).file_info
    tell("many at once", failed=failed, files=len(globbed), one=get("many", commit, "07/13").decode())


def large_answer():
    files.CreateRepo(pfs.CreateRepoRequest(repo=repo_of("wide")))
    commit = start("wide")
    lines = b"".join(b"%d\n" % number for number in range(20_000))
    split = pfs.PutFileRequest(
        file=file_of("wide", commit, "lines"), value=lines, delimiter=pfs.LINE, target_file_datums=1
    )
    files.PutFile(iter([split]))
    finish("wide", commit)
    listed = files.ListFile(pfs.ListFileRequest(file=file_of("wide", commit, "lines"))).file_info
    tell("large answer", listed=len(listed), last=listed[-1].file.path)


def kept_objects():
    def requests():
        yield pfs.PutObjectRequest(value=b"one ", tags=[pfs.Tag(name="tagged")])
        yield pfs.PutObjectRequest(value=b"object")

    made = objects.PutObject(requests())
    by_name = b"".join(piece.value for piece in objects.GetObject(made))
    by_tag = b"".join(piece.value for piece in objects.GetTag(pfs.Tag(name="tagged")))
    several = objects.GetObjects(pfs.GetObjectsRequest(objects=[made, made], offset_bytes=4, size_bytes=10))
    tags = [answer.tag for answer in objects.ListTags(pfs.ListTagsRequest(prefix="tag"))]
    tell(
        "kept objects",
        byName=by_name.decode(),
        byTag=by_tag.decode(),
        several=b"".join(piece.value for piece in several).decode(),
        tags=tags,
        listed=made in list(objects.ListObjects(pfs.ListObjectsRequest())),
        exists=objects.CheckObject(pfs.CheckObjectRequest(object=made)).exists,
        absent=objects.CheckObject(pfs.CheckObjectRequest(object=pfs.Object(hash="0" * 128))).exists,
    )


def waiting():
    """A subscription tells of a commit that comes while it waits, and ends when its time is over."""
    files.CreateRepo(pfs.CreateRepoRequest(repo=repo_of("events")))
    request = pfs.SubscribeCommitRequest(repo=repo_of("events"), branch="master")
    over = refusal(files.SubscribeCommit, request, timeout=0.3)
    subscription = files.SubscribeCommit(request, timeout=60)
    threading.Timer(1.5, lambda: finish("events", start("events"))).start()
    told = next(subscription).HasField("finished")
    subscription.cancel()
    tell("waiting", over=over[0], told=told)


def pipelines():
    files.CreateRepo(pfs.CreateRepoRequest(repo=repo_of("words")))
    jobs.CreatePipeline(
        pps.CreatePipelineRequest(
            pipeline=pps.Pipeline(name="copies"),
            transform=pps.Transform(cmd=["sh"], stdin=["cp /pfs/words/* /pfs/out/", "echo copied"]),
            parallelism_spec=pps.ParallelismSpec(constant=1),
            input=pps.Input(atom=pps.AtomInput(repo="words", glob="/*")),
        )
    )
    commit = start("words")
    for name in ["a", "b", "c"]:
        put("words", commit, name, f"word {name}\n".encode())
    finish("words", commit)
    flushed = files.FlushCommit(pfs.FlushCommitRequest(commits=[commit_of("words", commit)]), timeout=120)
    outputs = [info.commit for info in flushed]
    (listed,) = jobs.ListJob(pps.ListJobRequest(pipeline=pps.Pipeline(name="copies"))).job_info
    job = jobs.InspectJob(pps.InspectJobRequest(job=listed.job, block_state=True), timeout=120)
    datums = jobs.ListDatum(pps.ListDatumRequest(job=job.job)).datum_info
    logged = [line.message.strip() for line in jobs.GetLogs(pps.GetLogsRequest(job=job.job)) if line.user]
    tell(
        "pipelines",
        outputs=[output.repo.name for output in outputs],
        state=pps.JobState.Name(job.state),
        processed=job.data_processed,
        total=job.data_total,
        datums=len(datums),
        logged=logged,
        output=get("copies", outputs[0].id, "b").decode(),
    )


def failing_pipeline():
    jobs.CreatePipeline(
        pps.CreatePipelineRequest(
            pipeline=pps.Pipeline(name="fails"),
            transform=pps.Transform(cmd=["false"]),
            input=pps.Input(atom=pps.AtomInput(repo="words", glob="/a")),
        )
    )
    (listed,) = jobs.ListJob(pps.ListJobRequest(pipeline=pps.Pipeline(name="fails"))).job_info
    job = jobs.InspectJob(pps.InspectJobRequest(job=listed.job, block_state=True), timeout=120)
    flush = pfs.FlushCommitRequest(commits=[commit_of("words", "master")], to_repos=[repo_of("fails")])
    in_use = refusal(files.DeleteRepo, pfs.DeleteRepoRequest(repo=repo_of("words")))
    tell(
        "failing pipeline",
        state=pps.JobState.Name(job.state),
        flushed=refusal(files.FlushCommit, flush, timeout=120)[0],
        inUse=in_use[0],
    )


def ends():
    jobs.DeleteAll(NOTHING)
    files.DeleteAll(NOTHING)
    tell("ends", repos=len(files.ListRepo(pfs.ListRepoRequest()).repo_info))


server()
repos()
whole_files()
refused_writes()
cancelled_upload()
cancelled_download()
many_at_once()
large_answer()
kept_objects()
waiting()
pipelines()
failing_pipeline()
ends()
