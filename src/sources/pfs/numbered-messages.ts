// The messages of 1.3 (up to 1.3.18) that differ from those of 1.4 and later, by hand: their names are
// the same, so generated code for both cannot live together. Fields are those of its pfs.proto.

import {
  writeCommitRef,
  readCommitRef,
  type CommitRef,
  type Unfinished,
} from '../../base/file-refs.ts'
import { readFileRef, writeFileRef, type FileRef } from '../../base/file-refs.ts'
import { WireReader } from '../../base/wire-reader.ts'
import { WireWriter } from '../../base/wire-writer.ts'

const infoList = { info: 0x0a } as const
const commitInfo = {
  commit: 0x0a,
  parent: 0x22,
  started: 0x2a,
  finished: 0x32,
  cancelled: 0x40,
} as const
const fileInfo = {
  file: 0x0a,
  fileType: 0x10,
  sizeBytes: 0x18,
  modified: 0x22,
  commitModified: 0x2a,
} as const
const timestamp = { seconds: 0x08, nanos: 0x10 } as const
const commitRequest = { commit: 0x0a } as const
const fileRequest = { file: 0x0a } as const

interface Timestamp {
  readonly seconds: bigint
  readonly nanos: number
}

export interface NumberedCommitInfo {
  readonly commit: CommitRef | undefined
  readonly parent: CommitRef | undefined
  readonly started: Timestamp | undefined
  readonly finished: Timestamp | undefined
  readonly cancelled: boolean
}

export interface NumberedFileInfo {
  readonly file: FileRef | undefined
  /** 0 none, 1 a file, 2 a directory. */
  readonly fileType: number
  readonly sizeBytes: bigint
  readonly modified: Timestamp | undefined
  readonly commitModified: CommitRef | undefined
}

/** An InspectCommitRequest. */
export function encodeCommitRequest(commit: CommitRef): readonly Uint8Array[] {
  const writer = new WireWriter()
  writeCommitRef(writer, commitRequest.commit, commit)
  return writer.take()
}

/** An InspectFileRequest or a ListFileRequest. */
export function encodeFileRequest(file: FileRef): readonly Uint8Array[] {
  const writer = new WireWriter()
  writeFileRef(writer, fileRequest.file, file)
  return writer.take()
}

/** @throws {WireFormatError} for what is no message. */
export function decodeCommitInfo(message: Uint8Array): NumberedCommitInfo {
  const reader = new WireReader([message])
  const read: Unfinished<NumberedCommitInfo> = {
    commit: undefined,
    parent: undefined,
    started: undefined,
    finished: undefined,
    cancelled: false,
  }
  while (!reader.atEnd) {
    switch (reader.tag()) {
      case commitInfo.commit:
        read.commit = readCommitRef(reader, read.commit)
        break
      case commitInfo.parent:
        read.parent = readCommitRef(reader, read.parent)
        break
      case commitInfo.started:
        read.started = readTimestamp(reader)
        break
      case commitInfo.finished:
        read.finished = readTimestamp(reader)
        break
      case commitInfo.cancelled:
        read.cancelled = reader.bool()
        break
      default:
        reader.skip()
    }
  }
  return read
}

/** @throws {WireFormatError} for what is no message. */
export function decodeFileInfo(message: Uint8Array): NumberedFileInfo {
  return readFileInfo(new WireReader([message]))
}

/** A FileInfos. @throws {WireFormatError} for what is no message. */
export function decodeFileInfos(message: Uint8Array): readonly NumberedFileInfo[] {
  const reader = new WireReader([message])
  const infos: NumberedFileInfo[] = []
  while (!reader.atEnd) {
    if (reader.tag() === infoList.info) infos.push(readFileInfo(new WireReader(reader.bytes())))
    else reader.skip()
  }
  return infos
}

function readFileInfo(reader: WireReader): NumberedFileInfo {
  const read: Unfinished<NumberedFileInfo> = {
    file: undefined,
    fileType: 0,
    sizeBytes: 0n,
    modified: undefined,
    commitModified: undefined,
  }
  while (!reader.atEnd) {
    switch (reader.tag()) {
      case fileInfo.file:
        read.file = readFileRef(reader, read.file)
        break
      case fileInfo.fileType:
        read.fileType = reader.int32()
        break
      case fileInfo.sizeBytes:
        read.sizeBytes = reader.int64()
        break
      case fileInfo.modified:
        read.modified = readTimestamp(reader)
        break
      case fileInfo.commitModified:
        read.commitModified = readCommitRef(reader, read.commitModified)
        break
      default:
        reader.skip()
    }
  }
  return read
}

function readTimestamp(reader: WireReader): Timestamp {
  const read = { seconds: 0n, nanos: 0 }
  reader.message(() => {
    const tag = reader.tag()
    if (tag === timestamp.seconds) read.seconds = reader.int64()
    else if (tag === timestamp.nanos) read.nanos = reader.int32()
    else reader.skip()
  })
  return read
}
