// Lists of files, written by hand: generated code needs several objects for each file, and a list may have a
// hundred thousand. Numbers are those of proto/pfs.proto; tests hold both codecs to the same bytes.

import { type CommitRef, writeCommitRef, writeNumber, writeText } from './file-refs.ts'
import { concatBytes } from './bytes.ts'
import { assert } from './errors.ts'
import {
  fieldSize,
  numberFieldSize,
  optionalFieldSize,
  utf8Size,
  WireWriter,
} from './wire-writer.ts'

/** pfs.FileInfo, but for its commit. */
export interface FileInfoFields {
  readonly path: string
  /** A pfs.FileType. */
  readonly fileType: number
  /** At most 2^53 - 1. */
  readonly sizeBytes: number
  /** Names in a directory. */
  readonly children?: readonly string[]
  readonly hash: Uint8Array
  /** The hashes of the file's objects. */
  readonly objects?: readonly string[]
}

/** In pfs.FileInfos, and alike in pachyderm.FileInfosBatch. */
const fileInfos = { fileInfo: 0x0a } as const
const fileInfo = {
  file: 0x0a,
  fileType: 0x10,
  sizeBytes: 0x18,
  children: 0x32,
  hash: 0x3a,
  objects: 0x42,
} as const
const file = { commit: 0x0a, path: 0x12 } as const
const object = { hash: 0x0a } as const

/**
 * Writes pfs.FileInfo messages of one commit, one by one, as entries of pfs.FileInfos or of
 * pachyderm.FileInfosBatch, or alone.
 */
export class FileInfosWriter {
  readonly #writer = new WireWriter()
  /** The field `commit` of every pfs.File. */
  readonly #commitField: Uint8Array

  /** `commit` has an id, not the name of a branch: answers say what was found. */
  constructor(commit: CommitRef) {
    const writer = new WireWriter()
    writeCommitRef(writer, file.commit, commit)
    this.#commitField = concatBytes(writer.take())
  }

  /** The size of the message so far. */
  get sizeBytes(): number {
    return this.#writer.sizeBytes
  }

  /** Appends one entry to the list. */
  add(fields: FileInfoFields): void {
    this.#write(fields, true)
  }

  /** The list so far, as chunks of one message; the next `add` begins another. */
  take(): readonly Uint8Array[] {
    return this.#writer.take()
  }

  /** One pfs.FileInfo as a message of its own. */
  encodeOne(fields: FileInfoFields): readonly Uint8Array[] {
    assert(this.#writer.sizeBytes === 0, 'no list is being written')
    this.#write(fields, false)
    return this.#writer.take()
  }

  #write(fields: FileInfoFields, asEntry: boolean): void {
    const { path, fileType, sizeBytes, children = [], hash, objects = [] } = fields
    assert(Number.isSafeInteger(sizeBytes) && sizeBytes >= 0, 'a size is a whole number')
    const writer = this.#writer
    const pathSize = utf8Size(path)
    const fileSize = this.#commitField.length + optionalFieldSize(pathSize)
    // Before anything is written, as a text may be refused.
    const size =
      fieldSize(fileSize) +
      numberFieldSize(fileType) +
      numberFieldSize(sizeBytes) +
      childrenSize(children) +
      optionalFieldSize(hash.length) +
      objectsSize(objects)
    if (asEntry) {
      writer.varint(fileInfos.fileInfo)
      writer.varint(size)
    }
    writer.varint(fileInfo.file)
    writer.varint(fileSize)
    writer.raw(this.#commitField)
    writeText(writer, file.path, path, pathSize)
    writeNumber(writer, fileInfo.fileType, fileType)
    writeNumber(writer, fileInfo.sizeBytes, sizeBytes)
    writeChildren(writer, children)
    if (hash.length > 0) {
      writer.varint(fileInfo.hash)
      writer.varint(hash.length)
      writer.raw(hash)
    }
    writeObjects(writer, objects)
  }
}

function childrenSize(children: readonly string[]): number {
  let size = 0
  for (const name of children) size += fieldSize(utf8Size(name))
  return size
}

function writeChildren(writer: WireWriter, children: readonly string[]): void {
  for (const name of children) {
    writer.varint(fileInfo.children)
    writer.string(name, utf8Size(name))
  }
}

function objectsSize(objects: readonly string[]): number {
  let size = 0
  for (const hash of objects) size += fieldSize(optionalFieldSize(utf8Size(hash)))
  return size
}

function writeObjects(writer: WireWriter, objects: readonly string[]): void {
  for (const hash of objects) {
    const hashSize = utf8Size(hash)
    writer.varint(fileInfo.objects)
    writer.varint(optionalFieldSize(hashSize))
    writeText(writer, object.hash, hash, hashSize)
  }
}
