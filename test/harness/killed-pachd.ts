import { createHash } from 'node:crypto'
import { FileType } from '../../src/gen/pfs_pb.ts'
import { seededBytes } from '../../src/testing/seeded-random.ts'
import { collect, commitOf, fileOf, getPieces, putFile } from './files.ts'
import type { TestClient } from './test-pachd.ts'

export const killedRepo = 'killed'
const bulkFileCount = 5
const longBytesMax = 3_000_000

/** What is put at `path`: noise of a size that differs from path to path, from 0 to 3 MB. */
function sentTo(path: string): Uint8Array {
  const hash = createHash('sha256').update(path).digest()
  const kind = hash.readUInt8(0) % 8
  const part = hash.readUInt32LE(1) / 2 ** 32
  const sizeMax = kind === 0 ? longBytesMax : kind < 3 ? 200_000 : 2000
  return seededBytes(hash.readUInt32LE(5), Math.floor(part * sizeMax))
}

/** What servers that are dead by now have acknowledged. */
export class Acknowledged {
  /** By commit. */
  readonly paths: Map<string, Set<string>> = new Map()
  readonly trees: Map<string, string> = new Map()
  /** Acknowledgements of any kind. */
  count: number = 0

  put(commit: string, ...paths: readonly string[]): void {
    const known = this.paths.get(commit) ?? new Set()
    for (const path of paths) known.add(path)
    this.paths.set(commit, known)
    this.count += 1
  }
}

/** Writes files of every kind, all at once, until the server is gone. */
export async function writeUntilGone(
  client: TestClient,
  options: { readonly commit: string; readonly prefix: string; readonly fileCount: number },
  acknowledged: Acknowledged,
): Promise<void> {
  const { commit, prefix, fileCount } = options
  const puts = Array.from({ length: fileCount }, async (_, at) => {
    if (at % 4 === 0)
      return putBulk(client, { commit, prefix: `${prefix}/bulk-${at}` }, acknowledged)
    const path = `${prefix}/${at}`
    const bytes = sentTo(path)
    const pieces = [bytes.subarray(0, bytes.length / 2), bytes.subarray(bytes.length / 2)]
    await putFile(client, fileOf(killedRepo, commit, path), pieces)
    acknowledged.put(commit, path)
  })
  await Promise.allSettled(puts)
}

async function putBulk(
  { files }: TestClient,
  { commit, prefix }: { readonly commit: string; readonly prefix: string },
  acknowledged: Acknowledged,
): Promise<void> {
  const paths = Array.from({ length: bulkFileCount }, (_, at) => `${prefix}/${at}`)
  async function* requests() {
    for (const path of paths) {
      await Promise.resolve()
      const parts = [{ path, value: sentTo(path) }]
      yield { commit: commitOf(killedRepo, commit), parts }
    }
  }
  await files.putFiles(requests())
  acknowledged.put(commit, ...paths)
}

/** The files of a commit, and those (or bulk uploads) that are not as they were sent. */
export async function filesOf(
  client: TestClient,
  commit: string,
): Promise<{ readonly paths: ReadonlySet<string>; readonly broken: readonly string[] }> {
  const paths: string[] = []
  const broken: string[] = []
  for (const pattern of ['/*/*', '/*/*/*']) {
    const request = { commit: commitOf(killedRepo, commit), pattern }
    const batches = await collect(client.files.globFiles(request))
    for (const { file, fileType } of batches.flatMap(({ fileInfo }) => fileInfo)) {
      if (fileType === FileType.FILE) paths.push(file?.path.slice(1) ?? '')
    }
  }
  for (const path of paths) {
    const pieces = await getPieces(client, fileOf(killedRepo, commit, path))
    if (!Buffer.concat(pieces).equals(sentTo(path))) broken.push(path)
  }
  const inBulk = paths.filter((path) => path.includes('/bulk-'))
  const bulks = Map.groupBy(inBulk, (path) => path.slice(0, path.lastIndexOf('/')))
  for (const [prefix, members] of bulks) if (members.length !== bulkFileCount) broken.push(prefix)
  return { paths: new Set(paths), broken }
}
