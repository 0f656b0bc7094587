// How a message names a commit or a file, shared by the messages that are coded by hand.

import type { WireReader } from './wire-reader.ts'
import { fieldSize, optionalFieldSize, utf8Size, type WireWriter } from './wire-writer.ts'

/** pfs.Commit with its pfs.Repo, flat. */
export interface CommitRef {
  readonly repo: string
  /** An id or a branch name. */
  readonly id: string
}

/** pfs.File with its pfs.Commit, flat. */
export interface FileRef {
  readonly commit: CommitRef
  readonly path: string
}

/** The fields of a message while it is read. */
export type Unfinished<Fields> = { -readonly [Name in keyof Fields]: Fields[Name] }

/** In pfs.Repo: `name`. */
const repo = { name: 0x0a } as const
const commit = { repo: 0x0a, id: 0x12 } as const
const file = { commit: 0x0a, path: 0x12 } as const

/** Reads a pfs.Commit; what it does not say stays as in `before`. */
export function readCommitRef(reader: WireReader, before: CommitRef | undefined): CommitRef {
  const read: Unfinished<CommitRef> = { repo: '', id: '', ...before }
  const readRepo = (): void => {
    if (reader.tag() === repo.name) read.repo = reader.string()
    else reader.skip()
  }
  reader.message(() => {
    const tag = reader.tag()
    if (tag === commit.repo) reader.message(readRepo)
    else if (tag === commit.id) read.id = reader.string()
    else reader.skip()
  })
  return read
}

/** Reads a pfs.File; what it does not say stays as in `before`. */
export function readFileRef(reader: WireReader, before: FileRef | undefined): FileRef {
  const read: Unfinished<FileRef> = { commit: { repo: '', id: '' }, path: '', ...before }
  reader.message(() => {
    const tag = reader.tag()
    if (tag === file.commit) read.commit = readCommitRef(reader, read.commit)
    else if (tag === file.path) read.path = reader.string()
    else reader.skip()
  })
  return read
}

/** Writes a text field, unless it is empty. `sizeBytes` is its `utf8Size`. */
export function writeText(writer: WireWriter, tag: number, text: string, sizeBytes: number): void {
  if (sizeBytes === 0) return
  writer.varint(tag)
  writer.string(text, sizeBytes)
}

/** Writes a number field, unless it is 0. */
export function writeNumber(writer: WireWriter, tag: number, value: number): void {
  if (value === 0) return
  writer.varint(tag)
  writer.varint(value)
}

/** Writes a pfs.Repo as the field of `tag`. */
export function writeRepoRef(writer: WireWriter, tag: number, name: string): void {
  const nameSize = utf8Size(name)
  writer.varint(tag)
  writer.varint(optionalFieldSize(nameSize))
  writeText(writer, repo.name, name, nameSize)
}

/** Writes a pfs.Commit as the field of `tag`. */
export function writeCommitRef(writer: WireWriter, tag: number, ref: CommitRef): void {
  const idSize = utf8Size(ref.id)
  const repoSize = optionalFieldSize(utf8Size(ref.repo))
  writer.varint(tag)
  writer.varint(fieldSize(repoSize) + optionalFieldSize(idSize))
  writeRepoRef(writer, commit.repo, ref.repo)
  writeText(writer, commit.id, ref.id, idSize)
}

/** The size of what `writeCommitRef` writes with a tag of one byte. */
export function commitRefFieldSize(ref: CommitRef): number {
  const repoSize = optionalFieldSize(utf8Size(ref.repo))
  return fieldSize(fieldSize(repoSize) + optionalFieldSize(utf8Size(ref.id)))
}

/** Writes a pfs.File as the field of `tag`. */
export function writeFileRef(writer: WireWriter, tag: number, ref: FileRef): void {
  const pathSize = utf8Size(ref.path)
  writer.varint(tag)
  writer.varint(commitRefFieldSize(ref.commit) + optionalFieldSize(pathSize))
  writeCommitRef(writer, file.commit, ref.commit)
  writeText(writer, file.path, ref.path, pathSize)
}
