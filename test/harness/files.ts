import { createHash } from 'node:crypto'
import type { MessageInitShape } from '@bufbuild/protobuf'
import { concatBytes, utf8, utf8Text } from '../../src/base/bytes.ts'
import type {
  CommitSchema,
  Delimiter,
  FileSchema,
  PutFileRequestSchema,
} from '../../src/gen/pfs_pb.ts'
import type { TestClient } from './test-pachd.ts'

type CommitInit = MessageInitShape<typeof CommitSchema>
type FileInit = MessageInitShape<typeof FileSchema>
type PutFileInit = MessageInitShape<typeof PutFileRequestSchema>

/** What the first message of a put may say besides file and bytes. */
export interface PutFileOptions {
  readonly overwrite?: boolean
  readonly url?: string
  readonly delimiter?: Delimiter
  readonly targetFileDatums?: bigint
  readonly targetFileBytes?: bigint
  readonly headerRecords?: bigint
  readonly footerRecords?: bigint
}

/** `commit` is an id or a branch. */
export function commitOf(repo: string, commit: string): CommitInit {
  return { repo: { name: repo }, id: commit }
}

export function fileOf(repo: string, commit: string, path: string): FileInit {
  return { commit: commitOf(repo, commit), path }
}

/** As 1.5's client does it: the file in the first message only, the bytes in pieces. */
export async function putFile(
  { pfs }: Pick<TestClient, 'pfs'>,
  file: FileInit,
  content: string | readonly Uint8Array[],
  fields: PutFileOptions = {},
): Promise<void> {
  const [first, ...others] = typeof content === 'string' ? [utf8(content)] : content
  async function* requests(): AsyncGenerator<PutFileInit> {
    await Promise.resolve()
    yield { ...fields, file, ...(first !== undefined && { value: first }) }
    for (const value of others) yield { value }
  }
  await pfs.putFile(requests())
}

/** The messages of GetFile. */
export async function getPieces(
  { pfs }: Pick<TestClient, 'pfs'>,
  file: FileInit,
  range: { readonly offset?: number; readonly size?: number } = {},
): Promise<readonly Uint8Array[]> {
  const pieces: Uint8Array[] = []
  const request = {
    file,
    offsetBytes: BigInt(range.offset ?? 0),
    sizeBytes: BigInt(range.size ?? 0),
  }
  for await (const { value } of pfs.getFile(request)) pieces.push(value)
  return pieces
}

/** A file's content as text. */
export async function getText(
  client: Pick<TestClient, 'pfs'>,
  file: FileInit,
  range?: { readonly offset?: number; readonly size?: number },
): Promise<string> {
  return utf8Text(concatBytes(await getPieces(client, file, range)))
}

/** Starts a commit on a branch, puts files (path to content), finishes it. Returns its id. */
export async function commitFiles(
  client: Pick<TestClient, 'pfs'>,
  { repo, branch }: { readonly repo: string; readonly branch: string },
  files: Readonly<Record<string, string>>,
): Promise<string> {
  const { id } = await client.pfs.startCommit({ parent: commitOf(repo, ''), branch })
  for (const [path, content] of Object.entries(files)) {
    await putFile(client, fileOf(repo, id, path), content)
  }
  await client.pfs.finishCommit({ commit: commitOf(repo, id) })
  return id
}

export async function collect<Item>(items: AsyncIterable<Item>): Promise<readonly Item[]> {
  const all: Item[] = []
  for await (const item of items) all.push(item)
  return all
}

/** Bytes that differ all along. */
export function noise(size: number): Uint8Array {
  const blocks: Uint8Array[] = []
  for (let index = 0; index * 32 < size; index += 1) {
    blocks.push(createHash('sha256').update(String(index)).digest())
  }
  return concatBytes(blocks).subarray(0, size)
}

/** Of a secret. */
export function entriesOf(
  values: Readonly<Record<string, string>>,
): { readonly name: string; readonly value: Uint8Array }[] {
  return Object.entries(values).map(([name, text]) => ({ name, value: utf8(text) }))
}
