// The messages of a bulk download, by hand: contents pass as views, and small files cost no objects of
// generated code. Numbers are those of proto/pachyderm.proto; tests hold both codecs to the same bytes.

import type { Slices } from './content-messages.ts'
import {
  type CommitRef,
  readCommitRef,
  type Unfinished,
  writeCommitRef,
  writeNumber,
  writeText,
} from './file-refs.ts'
import { emptyBytes, concatBytes } from './bytes.ts'
import { WireReader } from './wire-reader.ts'
import { numberFieldSize, optionalFieldSize, utf8Size, WireWriter } from './wire-writer.ts'

/** What the first part of a file, or the only one of a directory, says of it. */
export interface EntryFacts {
  /** A pfs.FileType; 0 in the later parts of a file. */
  readonly fileType: number
  /** At most 2^53 - 1. */
  readonly sizeBytes: number
  readonly hash: Uint8Array
  /** Of a directory: all files below. */
  readonly fileCount: number
}

/** pachyderm.GetFilesPart. */
export interface GetFilesPartFields extends EntryFacts {
  readonly path: string
  readonly value: Slices
  readonly more: boolean
}

/** pachyderm.GetFilesResponse. */
export interface GetFilesFields {
  readonly commit: CommitRef | undefined
  readonly parts: readonly GetFilesPartFields[]
}

/** pachyderm.GetFilesRequest. */
export interface GetFilesRequestFields {
  readonly commit: CommitRef
  readonly paths?: readonly string[]
  readonly pattern?: string
  readonly recursive?: boolean
  readonly withoutContent?: boolean
}

/** pachyderm.FileChunk. */
export interface FileChunkFields {
  readonly hash: Uint8Array
  readonly sizeBytes: number
}

const request = {
  commit: 0x0a,
  paths: 0x12,
  pattern: 0x1a,
  recursive: 0x20,
  withoutContent: 0x28,
} as const
const response = { commit: 0x0a, parts: 0x12 } as const
const part = {
  path: 0x0a,
  value: 0x12,
  more: 0x18,
  fileType: 0x20,
  sizeBytes: 0x28,
  hash: 0x32,
  fileCount: 0x38,
} as const
const batch = { chunks: 0x0a } as const
const chunk = { hash: 0x0a, sizeBytes: 0x10 } as const

/** A pachyderm.GetFilesRequest, as chunks. */
export function encodeGetFilesRequest(fields: GetFilesRequestFields): Slices {
  const writer = new WireWriter()
  writeCommitRef(writer, request.commit, fields.commit)
  for (const path of fields.paths ?? []) {
    writer.varint(request.paths)
    writer.string(path, utf8Size(path))
  }
  const { pattern = '' } = fields
  writeText(writer, request.pattern, pattern, utf8Size(pattern))
  writeNumber(writer, request.recursive, Number(fields.recursive ?? false))
  writeNumber(writer, request.withoutContent, Number(fields.withoutContent ?? false))
  return writer.take()
}

/** Writes pachyderm.GetFilesResponse messages, part by part. */
export class GetFilesWriter {
  readonly #writer = new WireWriter()

  /** The first message begins with `commit`, which has an id. */
  constructor(commit: CommitRef) {
    writeCommitRef(this.#writer, response.commit, commit)
  }

  /** The size of the message so far. */
  get sizeBytes(): number {
    return this.#writer.sizeBytes
  }

  /** Appends a part. A large value is not copied, and must not change. */
  add(fields: GetFilesPartFields): void {
    const writer = this.#writer
    const { path, value, more, fileType, sizeBytes, hash, fileCount } = fields
    const pathSize = utf8Size(path)
    let valueSize = 0
    for (const slice of value) valueSize += slice.length
    writer.varint(response.parts)
    writer.varint(
      optionalFieldSize(pathSize) +
        optionalFieldSize(valueSize) +
        numberFieldSize(Number(more)) +
        numberFieldSize(fileType) +
        numberFieldSize(sizeBytes) +
        optionalFieldSize(hash.length) +
        numberFieldSize(fileCount),
    )
    writeText(writer, part.path, path, pathSize)
    writeBytes(writer, part.value, value, valueSize)
    writeNumber(writer, part.more, Number(more))
    writeNumber(writer, part.fileType, fileType)
    writeNumber(writer, part.sizeBytes, sizeBytes)
    writeBytes(writer, part.hash, [hash], hash.length)
    writeNumber(writer, part.fileCount, fileCount)
  }

  /** The message so far, as chunks; the next `add` begins another. */
  take(): Slices {
    return this.#writer.take()
  }
}

/** @throws {WireFormatError} for what is no message. Values are views of `message`. */
export function decodeGetFilesResponse(message: Slices): GetFilesFields {
  const reader = new WireReader(message)
  const parts: GetFilesPartFields[] = []
  let commit: CommitRef | undefined
  while (!reader.atEnd) {
    const tag = reader.tag()
    if (tag === response.parts) parts.push(readPart(reader))
    else if (tag === response.commit) commit = readCommitRef(reader, commit)
    else reader.skip()
  }
  return { commit, parts }
}

function readPart(reader: WireReader): GetFilesPartFields {
  const read: Unfinished<GetFilesPartFields> = {
    path: '',
    value: [],
    more: false,
    fileType: 0,
    sizeBytes: 0,
    hash: emptyBytes,
    fileCount: 0,
  }
  reader.message(() => readPartField(reader, read))
  return read
}

function readPartField(reader: WireReader, read: Unfinished<GetFilesPartFields>): void {
  switch (reader.tag()) {
    case part.path:
      read.path = reader.string()
      break
    case part.value:
      read.value = reader.bytes()
      break
    case part.more:
      read.more = reader.bool()
      break
    case part.fileType:
      read.fileType = reader.int32()
      break
    case part.sizeBytes:
      read.sizeBytes = Number(reader.int64())
      break
    case part.hash:
      read.hash = concatBytes(reader.bytes())
      break
    case part.fileCount:
      read.fileCount = Number(reader.int64())
      break
    default:
      reader.skip()
  }
}

/** Writes pachyderm.FileChunksBatch messages, chunk by chunk. */
export class FileChunksWriter {
  readonly #writer = new WireWriter()

  get sizeBytes(): number {
    return this.#writer.sizeBytes
  }

  add({ hash, sizeBytes }: FileChunkFields): void {
    this.#writer.varint(batch.chunks)
    this.#writer.varint(optionalFieldSize(hash.length) + numberFieldSize(sizeBytes))
    writeBytes(this.#writer, chunk.hash, [hash], hash.length)
    writeNumber(this.#writer, chunk.sizeBytes, sizeBytes)
  }

  take(): Slices {
    return this.#writer.take()
  }
}

/** @throws {WireFormatError} for what is no pachyderm.FileChunksBatch. */
export function decodeFileChunksBatch(message: Slices): readonly FileChunkFields[] {
  const reader = new WireReader(message)
  const chunks: FileChunkFields[] = []
  while (!reader.atEnd) {
    if (reader.tag() === batch.chunks) chunks.push(readChunk(reader))
    else reader.skip()
  }
  return chunks
}

function readChunk(reader: WireReader): FileChunkFields {
  const read: Unfinished<FileChunkFields> = { hash: emptyBytes, sizeBytes: 0 }
  reader.message(() => {
    const tag = reader.tag()
    if (tag === chunk.hash) read.hash = concatBytes(reader.bytes())
    else if (tag === chunk.sizeBytes) read.sizeBytes = Number(reader.int64())
    else reader.skip()
  })
  return read
}

function writeBytes(writer: WireWriter, tag: number, slices: Slices, size: number): void {
  if (size === 0) return
  writer.varint(tag)
  writer.varint(size)
  for (const slice of slices) writer.raw(slice)
}
