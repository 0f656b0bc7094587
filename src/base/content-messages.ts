// The messages that carry contents, by hand: their bytes pass as views, neither copied nor joined, which
// generated code cannot do. Numbers are those of proto/; tests hold both codecs to the same bytes.

import {
  type CommitRef,
  type FileRef,
  readCommitRef,
  readFileRef,
  type Unfinished,
  writeCommitRef,
  writeFileRef,
  writeText,
} from './file-refs.ts'
import { ValueScanner } from './value-scanner.ts'
import { InvalidArgumentError } from './errors.ts'
import { WireReader } from './wire-reader.ts'
import { optionalFieldSize, utf8Size, WireWriter } from './wire-writer.ts'

/** Slices that, joined, are one value or one message. */
export type Slices = readonly Uint8Array[]

/** The values of pfs.Delimiter. */
export const delimiters = { none: 0, json: 1, line: 2, sql: 3, csv: 4 } as const

/** How content is split, as pfs.PutFileRequest and pachyderm.Split say it. */
export interface SplitFields {
  /** A pfs.Delimiter. */
  readonly delimiter: number
  readonly targetFileDatums: bigint
  readonly targetFileBytes: bigint
  readonly headerRecords: bigint
  readonly footerRecords: bigint
}

/** pfs.PutFileRequest. */
export interface PutFileFields extends SplitFields {
  readonly file: FileRef | undefined
  readonly value: Slices
  readonly url: string
  readonly recursive: boolean
  readonly overwrite: boolean
}

/** pfs.PutObjectRequest. */
export interface PutObjectFields {
  readonly value: Slices
  /** The names of its tags. */
  readonly tags: readonly string[]
}

/** pachyderm.PutFilesPart. */
export interface PutFilesPartFields {
  readonly path: string
  readonly value: Slices
  readonly more: boolean
  readonly overwrite: boolean
}

/** pachyderm.PutFilesRequest. */
export interface PutFilesFields {
  readonly commit: CommitRef | undefined
  readonly parts: readonly PutFilesPartFields[]
  readonly split?: SplitFields | undefined
  readonly endsCommit?: boolean
}

/** What one message of a stream may hold: to decode it takes no more than some 50 ms. */
export const putFilesPartsMax = 20_000
export const putObjectTagsMax = 10_000
/** Fields of a message that says where bytes go. */
const putFileFieldsMax = 1000
/** Up to four in a part, which is one itself. */
const putFilesFieldsMax = 5 * putFilesPartsMax + 1000
const putObjectFieldsMax = 2 * putObjectTagsMax + 1000

const bytesValue = { value: 0x0a } as const
const putFile = {
  file: 0x0a,
  value: 0x1a,
  url: 0x2a,
  recursive: 0x30,
  delimiter: 0x38,
  targetFileDatums: 0x40,
  targetFileBytes: 0x48,
  overwrite: 0x50,
  headerRecords: 0x1f98,
  footerRecords: 0x1fa0,
} as const
const putObject = { value: 0x0a, tags: 0x12 } as const
const tag = { name: 0x0a } as const
export const putFilesTags = { commit: 0x0a, parts: 0x12, split: 0x1a, endsCommit: 0x20 } as const
const split = {
  delimiter: 0x08,
  targetFileDatums: 0x10,
  targetFileBytes: 0x18,
  headerRecords: 0x20,
  footerRecords: 0x28,
} as const
const noSplit: SplitFields = {
  delimiter: 0,
  targetFileDatums: 0n,
  targetFileBytes: 0n,
  headerRecords: 0n,
  footerRecords: 0n,
}
export const putFilesPartTags = { path: 0x0a, value: 0x12, more: 0x18, overwrite: 0x20 } as const
const part = putFilesPartTags

function sizeOf(slices: Slices): number {
  let size = 0
  for (const slice of slices) size += slice.length
  return size
}

function writeSlices(writer: WireWriter, fieldTag: number, slices: Slices): void {
  const size = sizeOf(slices)
  if (size === 0) return
  writer.varint(fieldTag)
  writer.varint(size)
  for (const slice of slices) writer.raw(slice)
}

function writeFlag(writer: WireWriter, fieldTag: number, flag: boolean | undefined): void {
  if (flag !== true) return
  writer.varint(fieldTag)
  writer.varint(1)
}

function writeInt64(writer: WireWriter, fieldTag: number, value: bigint | undefined): void {
  if (value === undefined || value === 0n) return
  writer.varint(fieldTag)
  writer.int64(value)
}

/** A google.protobuf.BytesValue, as chunks; empty for an empty value. `value` is not copied. */
export function encodeBytesValue(value: Slices): Slices {
  const writer = new WireWriter()
  writeSlices(writer, bytesValue.value, value)
  return writer.take()
}

/** The message as chunks; fields left out have their defaults. Large values are not copied. */
export function encodePutFileRequest(fields: Partial<PutFileFields>): Slices {
  const writer = new WireWriter()
  if (fields.file !== undefined) writeFileRef(writer, putFile.file, fields.file)
  writeSlices(writer, putFile.value, fields.value ?? [])
  const url = fields.url ?? ''
  writeText(writer, putFile.url, url, utf8Size(url))
  writeFlag(writer, putFile.recursive, fields.recursive)
  writeInt64(writer, putFile.delimiter, BigInt(fields.delimiter ?? 0))
  writeInt64(writer, putFile.targetFileDatums, fields.targetFileDatums)
  writeInt64(writer, putFile.targetFileBytes, fields.targetFileBytes)
  writeFlag(writer, putFile.overwrite, fields.overwrite)
  writeInt64(writer, putFile.headerRecords, fields.headerRecords)
  writeInt64(writer, putFile.footerRecords, fields.footerRecords)
  return writer.take()
}

/** @throws {WireFormatError} for what is no message. The value is views of `message`. */
export function decodePutFileRequest(message: Slices): PutFileFields {
  const reader = new WireReader(message, { fieldsMax: putFileFieldsMax })
  const read: Unfinished<PutFileFields> = {
    file: undefined,
    value: [],
    url: '',
    recursive: false,
    ...noSplit,
    overwrite: false,
  }
  while (!reader.atEnd) readPutFileField(reader, read)
  return read
}

function readPutFileField(reader: WireReader, read: Unfinished<PutFileFields>): void {
  switch (reader.tag()) {
    case putFile.file:
      read.file = readFileRef(reader, read.file)
      break
    case putFile.value:
      read.value = reader.bytes()
      break
    case putFile.url:
      read.url = reader.string()
      break
    case putFile.recursive:
      read.recursive = reader.bool()
      break
    case putFile.delimiter:
      read.delimiter = reader.int32()
      break
    case putFile.targetFileDatums:
      read.targetFileDatums = reader.int64()
      break
    case putFile.targetFileBytes:
      read.targetFileBytes = reader.int64()
      break
    case putFile.overwrite:
      read.overwrite = reader.bool()
      break
    case putFile.headerRecords:
      read.headerRecords = reader.int64()
      break
    case putFile.footerRecords:
      read.footerRecords = reader.int64()
      break
    default:
      reader.skip()
  }
}

/** For the messages after the first of a PutFile stream, where only `value` counts. */
export function putFileValueScanner(): ValueScanner {
  return new ValueScanner(putFile.value)
}

/** @throws {WireFormatError} for what is no message. The value is views of `message`. */
export function decodePutObjectRequest(message: Slices): PutObjectFields {
  const reader = new WireReader(message, { fieldsMax: putObjectFieldsMax })
  const tags: string[] = []
  let value: Slices = []
  while (!reader.atEnd) {
    const fieldTag = reader.tag()
    if (fieldTag === putObject.value) value = reader.bytes()
    else if (fieldTag === putObject.tags) tags.push(readTagName(reader))
    else reader.skip()
    if (tags.length > putObjectTagsMax) {
      throw new InvalidArgumentError(
        `pfs.PutObjectRequest.tags is there more than ${putObjectTagsMax} times, which is all that is allowed: give the object its other tags with TagObject`,
      )
    }
  }
  return { value, tags }
}

function readTagName(reader: WireReader): string {
  let name = ''
  reader.message(() => {
    if (reader.tag() === tag.name) name = reader.string()
    else reader.skip()
  })
  return name
}

function partSize(fields: PutFilesPartFields, pathSize: number): number {
  const flagCount = Number(fields.more) + Number(fields.overwrite)
  return optionalFieldSize(pathSize) + optionalFieldSize(sizeOf(fields.value)) + flagCount * 2
}

/** The message as chunks: small values are copied among their neighbours, large ones are not. */
export function encodePutFilesRequest(fields: PutFilesFields): Slices {
  const { commit, parts } = fields
  const writer = new WireWriter()
  if (commit !== undefined) writeCommitRef(writer, putFilesTags.commit, commit)
  for (const each of parts) {
    const pathSize = utf8Size(each.path)
    writer.varint(putFilesTags.parts)
    writer.varint(partSize(each, pathSize))
    writeText(writer, part.path, each.path, pathSize)
    writeSlices(writer, part.value, each.value)
    writeFlag(writer, part.more, each.more)
    writeFlag(writer, part.overwrite, each.overwrite)
  }
  if (fields.split !== undefined) writeSplit(writer, fields.split)
  writeFlag(writer, putFilesTags.endsCommit, fields.endsCommit ?? false)
  return writer.take()
}

function writeSplit(into: WireWriter, fields: SplitFields): void {
  const writer = new WireWriter()
  writeInt64(writer, split.delimiter, BigInt(fields.delimiter))
  writeInt64(writer, split.targetFileDatums, fields.targetFileDatums)
  writeInt64(writer, split.targetFileBytes, fields.targetFileBytes)
  writeInt64(writer, split.headerRecords, fields.headerRecords)
  writeInt64(writer, split.footerRecords, fields.footerRecords)
  const message = writer.take()
  into.varint(putFilesTags.split)
  into.varint(sizeOf(message))
  for (const slice of message) into.raw(slice)
}

function readSplit(reader: WireReader, before: SplitFields | undefined): SplitFields {
  const read: Unfinished<SplitFields> = { ...(before ?? noSplit) }
  reader.message(() => {
    switch (reader.tag()) {
      case split.delimiter:
        read.delimiter = reader.int32()
        break
      case split.targetFileDatums:
        read.targetFileDatums = reader.int64()
        break
      case split.targetFileBytes:
        read.targetFileBytes = reader.int64()
        break
      case split.headerRecords:
        read.headerRecords = reader.int64()
        break
      case split.footerRecords:
        read.footerRecords = reader.int64()
        break
      default:
        reader.skip()
    }
  })
  return read
}

/** @throws {WireFormatError} for what is no message. Values are views of `message`. */
export function decodePutFilesRequest(message: Slices): PutFilesFields {
  const reader = new WireReader(message, { fieldsMax: putFilesFieldsMax })
  const parts: PutFilesPartFields[] = []
  let commit: CommitRef | undefined
  let splitFields: SplitFields | undefined
  let endsCommit = false
  let current = newPart()
  // One for all parts: there may be thousands.
  const readPartField = (): void => readPutFilesPartField(reader, current)
  while (!reader.atEnd) {
    const fieldTag = reader.tag()
    if (fieldTag === putFilesTags.parts) {
      current = newPart()
      reader.message(readPartField)
      parts.push(current)
    } else if (fieldTag === putFilesTags.commit) commit = readCommitRef(reader, commit)
    else if (fieldTag === putFilesTags.endsCommit) endsCommit = reader.bool()
    else if (fieldTag === putFilesTags.split) splitFields = readSplit(reader, splitFields)
    else reader.skip()
    if (parts.length > putFilesPartsMax) {
      throw new InvalidArgumentError(
        `pachyderm.PutFilesRequest.parts is there more than ${putFilesPartsMax} times, which is all that is allowed in one message: send them in several messages of the stream`,
      )
    }
  }
  return { commit, parts, split: splitFields, endsCommit }
}

const noSlices: Slices = []

function newPart(): Unfinished<PutFilesPartFields> {
  return { path: '', value: noSlices, more: false, overwrite: false }
}

function readPutFilesPartField(reader: WireReader, read: Unfinished<PutFilesPartFields>): void {
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
    case part.overwrite:
      read.overwrite = reader.bool()
      break
    default:
      reader.skip()
  }
}
