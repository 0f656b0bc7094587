import {
  type DescMessage,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
} from '@bufbuild/protobuf'
import { PermissionDeniedError, UnavailableError } from '../../base/errors.ts'
import { Code } from '../../base/grpc-wire.ts'
import type { Client } from '../../client/client.ts'
import { RpcError } from '../../client/rpc-error.ts'
import type { Transport } from '../../client/transport.ts'
import {
  type AnswerPushRequestSchema,
  GetChunksRequestSchema,
  ListCommitsRequestSchema,
  ListCommitTagsRequestSchema,
  type PushedCall,
  type Transfers,
} from '../../gen/pachyderm_pb.ts'
import {
  InspectRepoRequestSchema,
  ListBranchRequestSchema,
  ListCommitRequestSchema,
  ListRepoRequestSchema,
  RepoInfoSchema,
} from '../../gen/pfs_pb.ts'

/** What a push asks for at once is a tenth of it. */
const callsAtOnceMax = 100

interface Readable {
  readonly isStream: boolean
  /** The repo that a request is about; undefined: all of them. */
  readonly repoOf: (request: Uint8Array) => string | undefined
}

function readable<Schema extends DescMessage>(
  schema: Schema,
  repoOf: (request: MessageShape<Schema>) => string | undefined,
  isStream = false,
): Readable {
  return { isStream, repoOf: (bytes) => repoOf(fromBinary(schema, bytes)) }
}

const inspectRepo = '/pfs.API/InspectRepo'

/** What a push needs to know, and nothing that changes anything. */
const readables: ReadonlyMap<string, Readable> = new Map([
  ['/pfs.API/ListRepo', readable(ListRepoRequestSchema, () => undefined)],
  [inspectRepo, readable(InspectRepoRequestSchema, ({ repo }) => repo?.name ?? '')],
  ['/pfs.API/ListBranch', readable(ListBranchRequestSchema, ({ repo }) => repo?.name ?? '')],
  ['/pfs.API/ListCommit', readable(ListCommitRequestSchema, ({ repo }) => repo?.name ?? '')],
  [
    '/pachyderm.Commits/ListCommits',
    readable(ListCommitsRequestSchema, ({ repo }) => repo?.name ?? '', true),
  ],
  [
    '/pachyderm.Commits/ListCommitTags',
    readable(ListCommitTagsRequestSchema, ({ repo }) => repo?.name ?? '', true),
  ],
  [
    '/pachyderm.Files/GetChunks',
    readable(GetChunksRequestSchema, ({ commit }) => commit?.repo?.name ?? '', true),
  ],
])

/** Makes the calls that the server which is pushed to asks for, of repos that are pushed and no others. */
export class RelayedCalls {
  readonly #from: Transport
  readonly #to: Client<typeof Transfers>
  /** Undefined: all. */
  readonly #repos: Set<string> | undefined
  readonly #withProvenance: boolean
  readonly #onUnanswered: (reason: unknown) => void
  readonly #running = new Set<Promise<void>>()

  /** `onUnanswered` is told why an answer did not come through: the server may go on waiting for it. */
  constructor(
    servers: { readonly from: Transport; readonly to: Client<typeof Transfers> },
    wish: { readonly repos: readonly string[]; readonly withProvenance: boolean },
    onUnanswered: (reason: unknown) => void,
  ) {
    this.#from = servers.from
    this.#to = servers.to
    this.#repos = wish.repos.length === 0 ? undefined : new Set(wish.repos)
    this.#withProvenance = wish.withProvenance
    this.#onUnanswered = onUnanswered
  }

  /** Does not wait for the answer. @throws {UnavailableError} when there are too many at once. */
  start(call: PushedCall): void {
    if (this.#running.size >= callsAtOnceMax) {
      throw new UnavailableError(
        `the server that is pushed to asks for more than ${callsAtOnceMax} things at once`,
      )
    }
    const running = this.#to
      .answerPush(this.#answer(call))
      .then(
        () => undefined,
        (error: unknown) => {
          // Of what nobody waits for any more, the push's own stream says why.
          if (!(error instanceof RpcError && error.code === Code.notFound))
            this.#onUnanswered(error)
        },
      )
      .finally(() => this.#running.delete(running))
    this.#running.add(running)
  }

  /** Resolves when no call is on its way. */
  async settled(): Promise<void> {
    await Promise.all(this.#running)
  }

  async *#answer({ id, method, request }: PushedCall): AsyncGenerator<AnswerPart> {
    yield { part: { case: 'call', value: id } }
    try {
      for await (const value of this.#messages(method, request)) {
        yield { part: { case: 'message', value } }
      }
    } catch (error) {
      const code = error instanceof RpcError ? error.code : Code.permissionDenied
      const message = error instanceof Error ? error.message : String(error)
      yield { part: { case: 'failure', value: { code, message } } }
    }
  }

  async *#messages(method: string, request: Uint8Array): AsyncGenerator<Uint8Array> {
    const { isStream } = this.#requireReadable(method, request)
    if (isStream) {
      for await (const message of this.#from.serverStream(method, request)) {
        yield await message.bytes()
      }
      return
    }
    const answer = await this.#from.unary(method, request)
    if (method === inspectRepo && this.#withProvenance) {
      for (const { name } of fromBinary(RepoInfoSchema, answer).provenance) this.#repos?.add(name)
    }
    yield answer
  }

  /** @throws {PermissionDeniedError} for what is not to be read for a push. */
  #requireReadable(method: string, request: Uint8Array): Readable {
    const found = readables.get(method)
    const repo = found?.repoOf(request)
    const isPushed = this.#repos === undefined || (repo !== undefined && this.#repos.has(repo))
    if (found !== undefined && isPushed) return found
    throw new PermissionDeniedError(
      `a push of ${[...(this.#repos ?? ['all repos'])].join(', ')} is answered no ${method}${repo === undefined ? '' : ` of ${repo}`}`,
    )
  }
}

type AnswerPart = MessageInitShape<typeof AnswerPushRequestSchema>
