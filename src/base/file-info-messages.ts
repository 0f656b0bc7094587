// Lists of files and of differences, written by hand: generated code needs several objects for each file, and a list may have a
// hundred thousand. Numbers are those of proto/pfs.proto and proto/pachyderm.proto; tests hold both codecs to the same bytes.

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
const diffFileResponse = { newFiles: 0x0a, oldFiles: 0x12 } as const
const fileDiffsBatch = { diffs: 0x0a } as const
const fileDiff = { kind: 0x08, newFile: 0x12, oldFile: 0x1a } as const
const object = { hash: 0x0a } as const

/**
 * Writes pfs.FileInfo messages of one commit, one by one, as entries of pfs.FileInfos or of
 * pachyderm.FileInfosBatch, or alone.
 */
export class FileInfosWriter {
  readonly #writer = new WireWriter()
  readonly #infos: FileInfoWriter

  /** `commit` has an id, not the name of a branch: answers say what was found. */
  constructor(commit: CommitRef) {
    this.#infos = new FileInfoWriter(this.#writer, commit)
  }

  /** The size of the message so far. */
  get sizeBytes(): number {
    return this.#writer.sizeBytes
  }

  /** Appends one entry to the list. */
  add(fields: FileInfoFields): void {
    this.#infos.writeField(fileInfos.fileInfo, fields)
  }

  /** The list so far, as chunks of one message; the next `add` begins another. */
  take(): readonly Uint8Array[] {
    return this.#writer.take()
  }

  /** One pfs.FileInfo as a message of its own. */
  encodeOne(fields: FileInfoFields): readonly Uint8Array[] {
    assert(this.#writer.sizeBytes === 0, 'no list is being written')
    // Before anything is written, as a text may be refused.
    this.#infos.sizeOf(fields)
    this.#infos.write(fields)
    return this.#writer.take()
  }
}

/** A path that differs between two commits; at least one side is there. */
export interface FileDiffSides {
  readonly before: FileInfoFields | undefined
  readonly after: FileInfoFields | undefined
}

/** Writes what differs between two commits, as pfs.DiffFileResponse or as pachyderm.FileDiffsBatch. */
export class FileDiffsWriter {
  readonly #writer = new WireWriter()
  readonly #before: FileInfoWriter
  readonly #after: FileInfoWriter

  /** Without a commit `before`, no file may be there before. */
  constructor({
    before,
    after,
  }: {
    readonly before: CommitRef | undefined
    readonly after: CommitRef
  }) {
    this.#before = new FileInfoWriter(this.#writer, before ?? after)
    this.#after = new FileInfoWriter(this.#writer, after)
  }

  /** The size of the message so far. */
  get sizeBytes(): number {
    return this.#writer.sizeBytes
  }

  /** Appends to pfs.DiffFileResponse. */
  addSides({ before, after }: FileDiffSides): void {
    if (after !== undefined) this.#after.writeField(diffFileResponse.newFiles, after)
    if (before !== undefined) this.#before.writeField(diffFileResponse.oldFiles, before)
  }

  /** Appends to pachyderm.FileDiffsBatch. `kind` is a pachyderm.DiffKind. */
  addDiff(kind: number, { before, after }: FileDiffSides): void {
    const size =
      numberFieldSize(kind) +
      (after === undefined ? 0 : fieldSize(this.#after.sizeOf(after))) +
      (before === undefined ? 0 : fieldSize(this.#before.sizeOf(before)))
    this.#writer.varint(fileDiffsBatch.diffs)
    this.#writer.varint(size)
    writeNumber(this.#writer, fileDiff.kind, kind)
    if (after !== undefined) this.#after.writeField(fileDiff.newFile, after)
    if (before !== undefined) this.#before.writeField(fileDiff.oldFile, before)
  }

  /** What has come so far, as chunks of one message; the next difference begins another. */
  take(): readonly Uint8Array[] {
    return this.#writer.take()
  }
}

/** Writes pfs.FileInfo messages of one commit among others. */
class FileInfoWriter {
  readonly #writer: WireWriter
  /** The field `commit` of every pfs.File. */
  readonly #commitField: Uint8Array

  constructor(writer: WireWriter, commit: CommitRef) {
    this.#writer = writer
    const field = new WireWriter()
    writeCommitRef(field, file.commit, commit)
    this.#commitField = concatBytes(field.take())
  }

  /** @throws {InvalidArgumentError} for a path that has no UTF-8; nothing is written then. */
  writeField(tag: number, fields: FileInfoFields): void {
    const size = this.sizeOf(fields)
    this.#writer.varint(tag)
    this.#writer.varint(size)
    this.write(fields)
  }

  /** @throws {InvalidArgumentError} for a text that has no UTF-8. */
  sizeOf({ path, fileType, sizeBytes, children = [], hash, objects = [] }: FileInfoFields): number {
    assert(Number.isSafeInteger(sizeBytes) && sizeBytes >= 0, 'a size is a whole number')
    return (
      fieldSize(this.#fileSize(utf8Size(path))) +
      numberFieldSize(fileType) +
      numberFieldSize(sizeBytes) +
      childrenSize(children) +
      optionalFieldSize(hash.length) +
      objectsSize(objects)
    )
  }

  /** Only after `sizeOf`, which may refuse it. */
  write({ path, fileType, sizeBytes, children = [], hash, objects = [] }: FileInfoFields): void {
    const writer = this.#writer
    const pathSize = utf8Size(path)
    writer.varint(fileInfo.file)
    writer.varint(this.#fileSize(pathSize))
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

  #fileSize(pathSize: number): number {
    return this.#commitField.length + optionalFieldSize(pathSize)
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
