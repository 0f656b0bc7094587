import { NodeTransport } from '../../src/node-client/node-transport.ts'
import { SystemClock, type Clock } from '../../src/base/clock.ts'
import { parseAddress } from '../../src/client/address.ts'
import { createClient, type Client } from '../../src/client/client.ts'
import { Admin, Files, Jobs } from '../../src/gen/pachyderm_pb.ts'
import { API as Pfs } from '../../src/gen/pfs_pb.ts'
import { API as Pps } from '../../src/gen/pps_pb.ts'

/** The calls behind the numbers that pachctl has no command for. */
export class ServerCalls implements AsyncDisposable {
  readonly clock: Clock = new SystemClock()
  readonly admin: Client<typeof Admin>
  readonly files: Client<typeof Files>
  readonly jobs: Client<typeof Jobs>
  readonly pfs: Client<typeof Pfs>
  readonly pps: Client<typeof Pps>
  readonly #transport: NodeTransport

  constructor(address: string) {
    this.#transport = new NodeTransport(parseAddress(address), this.clock)
    this.admin = createClient(Admin, this.#transport)
    this.files = createClient(Files, this.#transport)
    this.jobs = createClient(Jobs, this.#transport)
    this.pfs = createClient(Pfs, this.#transport)
    this.pps = createClient(Pps, this.#transport)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#transport[Symbol.asyncDispose]()
  }

  /** `commit` may be a branch. */
  async readText(repo: string, commit: string, path: string): Promise<string> {
    const file = { commit: { repo: { name: repo }, id: commit }, path }
    const slices: Uint8Array[] = []
    for await (const { value } of this.pfs.getFile({ file })) slices.push(value)
    return Buffer.concat(slices).toString('utf8')
  }

  async matching(
    repo: string,
    commit: string,
    pattern: string,
  ): Promise<readonly { readonly path: string; readonly sizeBytes: number }[]> {
    const request = { commit: { repo: { name: repo }, id: commit }, pattern }
    const found: { path: string; sizeBytes: number }[] = []
    for await (const { fileInfo } of this.files.globFiles(request)) {
      for (const { file, sizeBytes } of fileInfo) {
        found.push({ path: file?.path ?? '', sizeBytes: Number(sizeBytes) })
      }
    }
    return found
  }

  async repoNames(): Promise<ReadonlySet<string>> {
    const { repoInfo } = await this.pfs.listRepo({})
    return new Set(repoInfo.map(({ repo }) => repo?.name ?? ''))
  }

  async pipelineNames(): Promise<ReadonlySet<string>> {
    const { pipelineInfo } = await this.pps.listPipeline({})
    return new Set(pipelineInfo.map(({ pipeline }) => pipeline?.name ?? ''))
  }
}
