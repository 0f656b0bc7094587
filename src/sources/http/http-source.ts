import { type HttpUrl, ownSourceName, shownSource } from '../../base/source-urls.ts'
import type { Source, SourceFile } from '../source.ts'
import type { HttpClient, HttpHeaders } from './http-client.ts'
import { HttpFile } from './http-file.ts'

/** What is at one address of the web; there is nothing below it. */
export class HttpSource implements Source {
  readonly name: string
  readonly ownName: string
  readonly #client: HttpClient
  readonly #url: URL
  readonly #headers: HttpHeaders

  /** `headers` are sent along, but not to where it redirects. */
  constructor(client: HttpClient, source: HttpUrl, headers: HttpHeaders = {}) {
    this.#client = client
    this.#url = source.url
    this.#headers = headers
    this.name = shownSource(source.url.href)
    this.ownName = ownSourceName(source)
  }

  async *files(): AsyncGenerator<SourceFile> {
    const { name } = this
    const request = { url: this.#url, headers: this.#headers }
    yield new HttpFile({ client: this.#client, name, request: async () => request }, '')
  }
}
