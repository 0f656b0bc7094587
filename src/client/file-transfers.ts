import type { ByteStream } from '../base/bytes.ts'
import {
  encodePutFileRequest,
  encodePutFilesRequest,
  type PutFileFields,
  type PutFilesFields,
  type PutFilesPartFields,
  type SplitFields,
} from '../base/content-messages.ts'
import {
  decodeFileChunksBatch,
  decodeGetFilesResponse,
  encodeGetFilesRequest,
  type FileChunkFields,
  type GetFilesFields,
  type GetFilesRequestFields,
} from '../base/download-messages.ts'
import { writeCommitRef, writeFileRef, type CommitRef, type FileRef } from '../base/file-refs.ts'
import type { IncomingMessage } from '../base/grpc-messages.ts'
import type { EncodedMessage } from '../base/grpc-wire.ts'
import { putFilesBytesMax, PutFilesWriter, type SmallFile } from '../base/put-files-writer.ts'
import { ValueScanner } from '../base/value-scanner.ts'
import { WireReader } from '../base/wire-reader.ts'
import { WireWriter } from '../base/wire-writer.ts'
import type { CallOptions, Transport } from './transport.ts'

// The calls that carry contents, without generated code: bytes pass as views, never copied to make
// a message, and a program that only moves files loads no descriptors.

const bytesValueTag = 0x0a
const getFile = { file: 0x0a, offsetBytes: 0x10, sizeBytes: 0x18 } as const
const listChunksFile = 0x0a
const getChunks = { commit: 0x0a, ids: 0x12 } as const
const chunksTag = 0x0a
const putFilesResponse = { files: 0x08, bytes: 0x10, endedCommit: 0x18 } as const

export interface PutFileOptions extends CallOptions {
  /** Replace the file's content instead of appending to it. */
  readonly overwrite?: boolean
  readonly split?: SplitFields | undefined
}

/** Appends `bytes` to a file of an open commit. @throws {RpcError} */
export async function putFile(
  transport: Transport,
  file: FileRef,
  bytes: ByteStream,
  options: PutFileOptions = {},
): Promise<void> {
  const { overwrite = false, split } = options
  const first = { file, overwrite, ...split }
  await transport.clientStream('/pfs.API/PutFile', putMessages(first, bytes), options)
}

async function* putMessages(
  first: Partial<PutFileFields>,
  bytes: ByteStream,
): AsyncGenerator<EncodedMessage> {
  yield encodePutFileRequest(first)
  for await (const piece of piecesOf(bytes)) yield encodePutFileRequest({ value: [piece] })
}

/** Has the server put what is at a URL, as servers of 1.5 can. @throws {RpcError} */
export async function putFromUrl(
  transport: Transport,
  file: FileRef,
  url: string,
  options: PutFileOptions & { readonly recursive: boolean },
): Promise<void> {
  const { recursive, overwrite = false, split } = options
  async function* only(): AsyncGenerator<EncodedMessage> {
    yield encodePutFileRequest({ file, url, recursive, overwrite, ...split })
  }
  await transport.clientStream('/pfs.API/PutFile', only(), options)
}

export interface GetFileOptions extends CallOptions {
  /** Bytes to leave out at the start. */
  readonly offsetBytes?: number
  /** Bytes to get at most; 0 for all. */
  readonly sizeBytes?: number
}

/** The content of a file, in the slices it arrives in. @throws {RpcError} */
export async function* readFile(
  transport: Transport,
  file: FileRef,
  options: GetFileOptions = {},
): AsyncGenerator<Uint8Array> {
  const writer = new WireWriter()
  writeFileRef(writer, getFile.file, file)
  writeCount(writer, getFile.offsetBytes, options.offsetBytes ?? 0)
  writeCount(writer, getFile.sizeBytes, options.sizeBytes ?? 0)
  yield* valuesOf(transport.serverStream('/pfs.API/GetFile', writer.take(), options), bytesValueTag)
}

/**
 * Chunks of a commit, one behind the other, in the slices they arrive in. Only servers of this project know
 * it. @throws {RpcError}
 */
export async function* readChunks(
  transport: Transport,
  commit: CommitRef,
  ids: readonly Uint8Array[],
  options?: CallOptions,
): AsyncGenerator<Uint8Array> {
  const writer = new WireWriter()
  writeCommitRef(writer, getChunks.commit, commit)
  for (const id of ids) {
    writer.varint(getChunks.ids)
    writer.varint(id.length)
    writer.raw(id)
  }
  const answers = transport.serverStream('/pachyderm.Files/GetChunks', writer.take(), options)
  yield* valuesOf(answers, chunksTag)
}

/** What is in the field of that tag, of one message after another. */
async function* valuesOf(
  messages: AsyncIterable<IncomingMessage>,
  tag: number,
): AsyncGenerator<Uint8Array> {
  const scanner = new ValueScanner(tag)
  for await (const message of messages) {
    for await (const slice of message.slices()) yield* scanner.push(slice)
    scanner.end()
  }
}

/**
 * Many files of a commit, in the messages they arrive in: values are views of these, and are to be used
 * before the next one. Only servers of this project know it. @throws {RpcError}
 */
export async function* getFiles(
  transport: Transport,
  request: GetFilesRequestFields,
  options?: CallOptions,
): AsyncGenerator<GetFilesFields> {
  const encoded = encodeGetFilesRequest(request)
  for await (const message of transport.serverStream(
    '/pachyderm.Files/GetFiles',
    encoded,
    options,
  )) {
    yield decodeGetFilesResponse(await message.parts())
  }
}

/** What a file is made of: runs of its bytes with their SHA-256, in order. @throws {RpcError} */
export async function* listChunks(
  transport: Transport,
  file: FileRef,
  options?: CallOptions,
): AsyncGenerator<FileChunkFields> {
  const writer = new WireWriter()
  writeFileRef(writer, listChunksFile, file)
  for await (const message of transport.serverStream(
    '/pachyderm.Files/ListChunks',
    writer.take(),
    options,
  )) {
    yield* decodeFileChunksBatch(await message.parts())
  }
}

function writeCount(writer: WireWriter, tag: number, count: number): void {
  if (count === 0) return
  writer.varint(tag)
  writer.varint(count)
}

/** One file of a bulk upload. */
export interface FilePut {
  readonly path: string
  /** Of a small file, another way to its bytes, which costs less. */
  readonly small?: SmallFile
  readonly bytes: ByteStream | Uint8Array
  readonly overwrite?: boolean
}

/** What a bulk upload did. */
export interface PutFilesResult {
  readonly fileCount: number
  readonly sizeBytes: number
  /** The commit is finished, as was asked for. */
  readonly endedCommit: boolean
}

/**
 * Puts all files into an open commit, or none: many small files travel in one message, and all are
 * acknowledged at once. With `split`, each becomes a directory of pieces. Only servers of this
 * project know it. @throws {RpcError}
 */
export async function putFiles(
  transport: Transport,
  commit: CommitRef,
  puts: AsyncIterable<FilePut> | Iterable<FilePut>,
  options?: CallOptions & {
    readonly split?: SplitFields | undefined
    /** Finish the commit when all is there, and take it back when not; older servers pass it over. */
    readonly endsCommit?: boolean
  },
): Promise<PutFilesResult> {
  const { split, endsCommit = false } = options ?? {}
  const messages = bulkMessages({ commit, parts: [], split, endsCommit }, puts)
  const response = await transport.clientStream('/pachyderm.Files/PutFiles', messages, options)
  const reader = new WireReader([response])
  const result = { fileCount: 0, sizeBytes: 0, endedCommit: false }
  while (!reader.atEnd) {
    const tag = reader.tag()
    if (tag === putFilesResponse.files) result.fileCount = Number(reader.int64())
    else if (tag === putFilesResponse.endedCommit) result.endedCommit = reader.bool()
    else if (tag === putFilesResponse.bytes) result.sizeBytes = Number(reader.int64())
    else reader.skip()
  }
  return result
}

async function* bulkMessages(
  first: PutFilesFields,
  puts: AsyncIterable<FilePut> | Iterable<FilePut>,
): AsyncGenerator<EncodedMessage> {
  // The commit goes ahead, so that the server can refuse it before it is sent anything.
  yield encodePutFilesRequest(first)
  const message = new PutFilesWriter()
  // What is there is not waited for: of a million small files, each would pay for several promises.
  for await (const some of Symbol.iterator in puts ? [puts] : oneByOne(puts)) {
    for (const put of some) {
      if (message.isFull) yield message.take()
      if (isAdded(message, put)) continue
      if (!message.isEmpty) yield message.take()
      if (isAdded(message, put)) continue
      for await (const part of partsOf(put)) {
        yield encodePutFilesRequest({ commit: undefined, parts: [part] })
      }
    }
  }
  if (!message.isEmpty) yield message.take()
}

async function* oneByOne<Item>(items: AsyncIterable<Item>): AsyncGenerator<readonly Item[]> {
  for await (const item of items) yield [item]
}

/** False for what is not whole, or has no room in the message. */
function isAdded(message: PutFilesWriter, put: FilePut): boolean {
  const { path, overwrite = false } = put
  const small = put.small ?? (put.bytes instanceof Uint8Array ? copied(put.bytes) : undefined)
  return small !== undefined && message.add(path, small, overwrite)
}

function copied(bytes: Uint8Array): SmallFile {
  return {
    readInto: (into, offset) => {
      if (offset + bytes.length > into.length) return undefined
      into.set(bytes, offset)
      return bytes.length
    },
  }
}

const plainPart = { value: [], more: false, overwrite: false } as const

async function* partsOf(put: FilePut): AsyncGenerator<PutFilesPartFields> {
  const { path } = put
  let overwrite = put.overwrite ?? false
  let held: Uint8Array | undefined
  for await (const piece of piecesOf(put.bytes)) {
    if (held !== undefined) {
      yield { ...plainPart, path, value: [held], more: true, overwrite }
      overwrite = false
    }
    held = piece
  }
  yield { ...plainPart, path, value: held === undefined ? [] : [held], overwrite }
}

/** `bytes` in slices of at most 1 MiB, without empty ones. */
async function* piecesOf(bytes: ByteStream | Uint8Array): AsyncGenerator<Uint8Array> {
  const slices = bytes instanceof Uint8Array ? [bytes] : bytes
  for await (const slice of slices) {
    for (let offset = 0; offset < slice.length; offset += putFilesBytesMax) {
      yield slice.subarray(offset, offset + putFilesBytesMax)
    }
  }
}
