import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'

export type Answer = (request: IncomingMessage, response: ServerResponse, count: number) => void

/** A server of the web on a port of its own, which answers as a test says. */
export class WebServer implements AsyncDisposable {
  /** Every request, as `GET /path` with its range. */
  readonly requests: string[] = []
  readonly #answers = new Map<string, Answer>()
  readonly #server: Server

  private constructor() {
    this.#server = createServer((request, response) => {
      const path = request.url ?? ''
      const range = request.headers.range
      this.requests.push(`${request.method} ${path}${range === undefined ? '' : ` ${range}`}`)
      const count = this.requests.filter((seen) => seen.split(' ')[1] === path).length
      const answer = this.#answers.get(path.split('?')[0] ?? '')
      if (answer !== undefined) answer(request, response, count)
      else response.writeHead(404).end('no such page')
    })
  }

  static async start(): Promise<WebServer> {
    const server = new WebServer()
    await new Promise<void>((resolve) => server.#server.listen(0, '127.0.0.1', resolve))
    return server
  }

  /** Without a slash at the end. */
  get url(): string {
    return `http://127.0.0.1:${this.port}`
  }

  get port(): number {
    const address = this.#server.address()
    return typeof address === 'object' && address !== null ? address.port : 0
  }

  /** `count` is how often the path has been asked for, this time included. */
  on(path: string, answer: Answer): void {
    this.#answers.set(path, answer)
  }

  /** A file that can be had from any place on, with an ETag; `broken` says after how many bytes of an answer it ends. */
  file(
    path: string,
    content: Uint8Array,
    broken: (count: number) => number | undefined = () => undefined,
  ): void {
    this.on(path, (request, response, count) => {
      const start = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0)
      const rest = content.subarray(start)
      response.writeHead(start === 0 ? 200 : 206, {
        etag: '"one"',
        'content-length': rest.length,
        ...(start > 0 && {
          'content-range': `bytes ${start}-${content.length - 1}/${content.length}`,
        }),
      })
      const breakAt = broken(count)
      if (breakAt === undefined) response.end(rest)
      else response.write(rest.subarray(0, breakAt), () => response.destroy())
    })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections()
    await new Promise<void>((resolve) => this.#server.close(() => resolve()))
  }
}
