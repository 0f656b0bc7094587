import type { IncomingMessage, ServerResponse } from 'node:http'
import { newHexId } from '../base/random.ts'
import type { Versioning } from '../versioning/versioning.ts'
import { CallerBudget } from './grpc/caller-budget.ts'
import type { GrpcServerPorts } from './grpc/call-runner.ts'
import { directoryListing, directoryState } from './http/directory-listing.ts'
import { Exchange } from './http/exchange.ts'
import { failureOf, RequestError } from './http/failures.ts'
import { answerFile, lastModified } from './http/file-answer.ts'
import { answerListing, listingFormat, prefersPage } from './http/listing-answer.ts'
import { failurePage, pageHeaders } from './http/pages.ts'
import { repoListing, reposListing } from './http/repo-listings.ts'
import { type HttpRoute, linkToRoot, parseTarget, type Target } from './http/routes.ts'
import { AnswerLines } from './http/answer-lines.ts'

/** What all answers may hold in memory at once, such as chunks that were fetched ahead. */
const answersBytesMax = 256 * 1024 * 1024
const allowed = 'GET, HEAD, OPTIONS'
const referenceDigits = 8

/**
 * The HTTP door: files, by 1.5's URL `/v1/pfs/repos/<repo>/commits/<commit>/files/<path>`, and lists
 * that lead to them. It only reads.
 */
export class HttpFiles {
  readonly #versioning: Versioning
  readonly #ports: GrpcServerPorts
  readonly #budget: CallerBudget
  readonly #lines = new AnswerLines()

  constructor(versioning: Versioning, ports: GrpcServerPorts) {
    this.#versioning = versioning
    this.#ports = ports
    this.#budget = new CallerBudget({ bytesMax: answersBytesMax }, ports.clock, 'download')
  }

  /** Answers a request for what is here. False when it is for something else. */
  accept(request: IncomingMessage, response: ServerResponse): boolean {
    if (!/^(?:https?:\/\/[^/?]*)?\/v1\/pfs(?:$|[/?])/i.test(request.url ?? '')) return false
    this.answer(request, response)
    return true
  }

  /** Answers any request: where nothing is, with the way to what there is. */
  answer(request: IncomingMessage, response: ServerResponse): void {
    const { clock } = this.#ports
    const exchange = new Exchange(request, response, { clock, budget: this.#budget })
    void this.#lines.take(exchange, (next) => this.#answer(next))
  }

  /** Never rejects: whatever goes wrong becomes the answer. */
  async #answer(exchange: Exchange): Promise<void> {
    if (exchange.signal.aborted) return
    try {
      await this.#respond(exchange)
    } catch (error) {
      this.#fail(exchange, error)
    }
  }

  async #respond(exchange: Exchange): Promise<void> {
    const { method, url = '', headers } = exchange.request
    if (method === 'OPTIONS') {
      exchange.answer(204, { allow: allowed })
      return
    }
    if (method !== 'GET' && method !== 'HEAD') {
      const text = `${method} is not possible here: files are read with GET, and written with pachctl put-file`
      throw new RequestError(405, 'unimplemented', text, { allow: allowed, connection: 'close' })
    }
    if (headers['transfer-encoding'] !== undefined || (headers['content-length'] ?? '0') !== '0') {
      const text = `a ${method} request has no body here`
      throw new RequestError(400, 'invalid-argument', text, { connection: 'close' })
    }
    if (url === '/') {
      exchange.answer(302, { location: './v1/pfs/repos/' })
      return
    }
    const target = parseTarget(url)
    if (target === undefined) {
      const text = `there is nothing at ${url}: files are at /v1/pfs/repos/REPO/commits/COMMIT/files/PATH`
      throw new RequestError(404, 'not-found', text)
    }
    await this.#serve(exchange, target)
  }

  async #serve(exchange: Exchange, { route, query, depth }: Target): Promise<void> {
    const versioning = this.#versioning
    switch (route.kind) {
      case 'repos': {
        const format = listingFormat(exchange, query)
        await answerListing(exchange, reposListing(versioning, depth), { format })
        return
      }
      case 'repo': {
        const format = listingFormat(exchange, query)
        const info = await versioning.repos.inspect(route.repo)
        await answerListing(exchange, repoListing(versioning, info, depth), { format })
        return
      }
      case 'commit': {
        await versioning.commits.inspect(route.repo, route.commit)
        const commit = `${encodeURIComponent(route.repo)}/commits/${encodeURIComponent(route.commit)}`
        exchange.answer(308, { location: `${linkToRoot('repos', depth)}${commit}/files/` })
        return
      }
      case 'files':
        await this.#serveFiles(exchange, route, { query, depth })
    }
  }

  async #serveFiles(
    exchange: Exchange,
    { repo, commit: commitName, path }: HttpRoute & { readonly kind: 'files' },
    { query, depth }: Omit<Target, 'route'>,
  ): Promise<void> {
    const versioning = this.#versioning
    const { signal } = exchange
    // The branch is resolved once, so that the answer is of one commit.
    const commit = await versioning.commits.inspect(repo, commitName)
    const info = await versioning.files.inspect({ repo, commit: commit.id, path }, signal)
    if (info.entry.kind === 'file') {
      await answerFile(exchange, versioning, { commit, info, query })
      return
    }
    const directory = { commit, commitName, info, depth }
    await answerListing(exchange, directoryListing(versioning, directory, signal), {
      format: listingFormat(exchange, query),
      state: directoryState(directory),
      headers: lastModified(commit),
    })
  }

  #fail(exchange: Exchange, error: unknown): void {
    const { request, signal, hasBegun } = exchange
    if (signal.aborted) return // nobody is there to be told
    const failure = failureOf(error, (cause) => this.#report(request, cause))
    if (hasBegun) {
      exchange.abandon()
      return
    }
    const { status, kind, message, headers } = failure
    if (prefersPage(request.headers.accept)) {
      exchange.answer(status, { ...pageHeaders, ...headers }, failurePage(failure))
      return
    }
    const body = `${JSON.stringify({ error: message, kind })}\n`
    exchange.answer(status, { 'content-type': 'application/json', ...headers }, body)
  }

  #report(request: IncomingMessage, cause: unknown): string {
    const reference = newHexId(this.#ports.random).slice(0, referenceDigits)
    this.#ports.log.failure(reference, `${request.method} ${request.url}`, cause)
    return reference
  }
}
