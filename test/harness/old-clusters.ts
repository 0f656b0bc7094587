import { execFileSync } from 'node:child_process'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { gunzipSync } from 'node:zlib'
import type { JsonObject, JsonValue } from '@bufbuild/protobuf'
import { TemporaryDirectory } from '../../src/testing/temporary-directory.ts'

export const oldClusterNames = ['1.4.8', '1.5.3', '1.5.3-objectstore'] as const
export type OldClusterName = (typeof oldClusterNames)[number]

/** What the real server said of a cluster; messages are as `--raw` printed them. */
export interface ExpectedCluster {
  readonly raw: {
    readonly listRepo: readonly (JsonObject & { readonly repo: { readonly name: string } })[]
    readonly listPipeline: readonly JsonValue[]
    readonly listJob: readonly JsonValue[]
  }
  readonly repos: Readonly<
    Record<
      string,
      {
        readonly info: JsonValue
        readonly branches: readonly JsonValue[]
        readonly commits: Readonly<
          Record<
            string,
            {
              readonly info: JsonValue
              readonly open?: boolean
              readonly dirs: Readonly<Record<string, { readonly size: number }>>
              readonly files: Readonly<
                Record<
                  string,
                  {
                    readonly size: number
                    readonly sha256: string
                    readonly objects: readonly string[]
                  }
                >
              >
            }
          >
        >
      }
    >
  >
}

/** A cluster that a real old server has written, unpacked into a directory of its own. */
export class UnpackedCluster implements AsyncDisposable {
  readonly name: OldClusterName
  readonly etcd: string
  readonly storage: string
  readonly expected: ExpectedCluster
  /** The same as 1.5.3 says it: of a cluster of 1.4, after the migration of its own. */
  readonly expectedBy15: ExpectedCluster
  /** Keys and values, as the server's own tools saw them. */
  readonly keys: readonly {
    readonly key: string
    readonly value: string
    readonly modRevision: number
  }[]
  readonly #directory: TemporaryDirectory

  private constructor(
    directory: TemporaryDirectory,
    expected: Pick<UnpackedCluster, 'name' | 'expected' | 'expectedBy15'>,
    keys: UnpackedCluster['keys'],
  ) {
    this.#directory = directory
    this.etcd = directory.join('etcd.snapshot.db')
    this.storage = directory.join('storage')
    this.name = expected.name
    this.expected = expected.expected
    this.expectedBy15 = expected.expectedBy15
    this.keys = keys
  }

  static async unpack(name: OldClusterName): Promise<UnpackedCluster> {
    const folder = `test/fixtures/clusters/${name}`
    const read = async (file: string): Promise<Buffer> =>
      gunzipSync(await readFile(`${folder}/${file}`))
    const directory = await TemporaryDirectory.create()
    await writeFile(directory.join('etcd.snapshot.db'), await read('etcd.snapshot.db.gz'))
    await mkdir(directory.join('storage'))
    execFileSync('tar', ['-xzf', `${folder}/storage.tar.gz`, '-C', directory.join('storage')])
    const expected = JSON.parse((await read('expected.json.gz')).toString()) as ExpectedCluster
    const lines = (await read('etcd-keys.jsonl.gz')).toString().trim().split('\n')
    const keys = lines.map((line) => JSON.parse(line) as UnpackedCluster['keys'][number])
    const after = name === '1.4.8' ? await read('after-migration-to-1.5.json.gz') : undefined
    const expectedBy15 =
      after === undefined
        ? expected
        : withFiles(JSON.parse(after.toString()) as ExpectedCluster, expected)
    return new UnpackedCluster(directory, { name, expected, expectedBy15 }, keys)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#directory[Symbol.asyncDispose]()
  }
}

/** `cluster`, which does not say what is in its commits, with the files of the same one. */
function withFiles(cluster: ExpectedCluster, same: ExpectedCluster): ExpectedCluster {
  const repos = Object.entries(cluster.repos).map(([name, repo]) => {
    const commits = Object.entries(repo.commits).map(([id, commit]) => {
      const { dirs = {}, files = {} } = same.repos[name]?.commits[id] ?? {}
      return [id, { ...commit, dirs, files }] as const
    })
    return [name, { ...repo, commits: Object.fromEntries(commits) }] as const
  })
  return { raw: cluster.raw, repos: Object.fromEntries(repos) }
}
