import type { OutgoingHttpHeaders } from 'node:http'
import type { CommitInfo } from '../../versioning/commit-records.ts'
import type { Versioning } from '../../versioning/versioning.ts'
import type { Exchange } from '../http/exchange.ts'
import { S3Error } from './errors.ts'
import { type BucketPlace, parseBucket } from './names.ts'
import type { RequestBody } from './request-body.ts'
import type { S3Query, S3Target } from './target.ts'
import { type XmlContent, xmlDocument } from './xml-text.ts'

/** One call of S3: what is asked, and the way to answer. */
export class S3Call {
  readonly versioning: Versioning
  readonly exchange: Exchange
  readonly target: S3Target
  readonly body: RequestBody
  readonly requestId: string

  constructor(facts: Pick<S3Call, 'versioning' | 'exchange' | 'target' | 'body' | 'requestId'>) {
    this.versioning = facts.versioning
    this.exchange = facts.exchange
    this.target = facts.target
    this.body = facts.body
    this.requestId = facts.requestId
  }

  /** The same caller, asking for another bucket. */
  of(bucket: string): S3Call {
    const { versioning, exchange, body, requestId, target } = this
    return new S3Call({ versioning, exchange, body, requestId, target: { ...target, bucket } })
  }

  get query(): S3Query {
    return this.target.query
  }

  get signal(): AbortSignal {
    return this.exchange.signal
  }

  get place(): BucketPlace {
    return parseBucket(this.target.bucket)
  }

  /** What every answer says. */
  get headers(): OutgoingHttpHeaders {
    return { 'x-amz-request-id': this.requestId }
  }

  header(name: string): string | undefined {
    const value = this.exchange.request.headers[name]
    return typeof value === 'string' ? value : undefined
  }

  /** The commit that the bucket is now, so that an answer is of one. @throws {DomainError} */
  async commit(): Promise<CommitInfo> {
    const { repo, commit } = this.place
    return this.versioning.commits.inspect(repo, commit)
  }

  /**
   * The branch to write to.
   *
   * @throws {S3Error} for a commit by another name, which never changes.
   */
  async branch(): Promise<{ readonly repo: string; readonly branch: string }> {
    const { repo, commit } = this.place
    const branches = await this.versioning.branches.list(repo)
    if (!branches.some(({ name }) => name === commit)) {
      const { id } = await this.commit()
      throw new S3Error(
        'AccessDenied',
        `bucket ${this.target.bucket} is commit ${id}, and no branch: it can be read, and never changes; write to BRANCH.${repo}`,
      )
    }
    await this.versioning.headWrites.requireWritable(repo, commit)
    return { repo, branch: commit }
  }

  answer(status: number, headers: OutgoingHttpHeaders = {}): void {
    this.exchange.answer(status, { ...this.headers, ...headers })
  }

  answerXml(name: string, content: XmlContent, headers: OutgoingHttpHeaders = {}): void {
    const about = { ...this.headers, 'content-type': 'application/xml', ...headers }
    this.exchange.answer(200, about, xmlDocument(name, content))
  }
}
