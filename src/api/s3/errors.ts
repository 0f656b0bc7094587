import { DomainError, type ErrorKind } from '../../base/errors.ts'
import {
  AncestorNotFoundError,
  BranchNotFoundError,
  CommitNotFoundError,
  FileNotFoundError,
  IsADirectoryError,
  RepoNotFoundError,
} from '../../versioning/errors.ts'
import { BranchExistsError, BranchNotEmptyError } from '../../versioning/head-writes.ts'
import { UploadNotFoundError } from '../../versioning/uploads.ts'
import { StatusError } from '../grpc/errors.ts'
import { xmlDocument } from './xml-text.ts'

/** Codes of S3 that are answered here, with their statuses. */
const statuses = {
  AccessDenied: 403,
  AuthorizationHeaderMalformed: 400,
  AuthorizationQueryParametersError: 400,
  BadDigest: 400,
  BucketAlreadyOwnedByYou: 409,
  BucketNotEmpty: 409,
  EntityTooLarge: 400,
  ExpiredToken: 400,
  IncompleteBody: 400,
  InternalError: 500,
  InvalidAccessKeyId: 403,
  InvalidArgument: 400,
  InvalidBucketName: 400,
  InvalidDigest: 400,
  InvalidPart: 400,
  InvalidPartNumber: 416,
  InvalidPartOrder: 400,
  InvalidRange: 416,
  InvalidRequest: 400,
  InvalidURI: 400,
  MalformedXML: 400,
  MethodNotAllowed: 405,
  MissingContentLength: 411,
  NoSuchBucket: 404,
  NoSuchBucketPolicy: 404,
  NoSuchCORSConfiguration: 404,
  NoSuchKey: 404,
  NoSuchLifecycleConfiguration: 404,
  NoSuchTagSet: 404,
  NoSuchUpload: 404,
  NoSuchWebsiteConfiguration: 404,
  NotImplemented: 501,
  ObjectLockConfigurationNotFoundError: 404,
  OperationAborted: 409,
  PreconditionFailed: 412,
  ReplicationConfigurationNotFoundError: 404,
  RequestTimeTooSkewed: 403,
  ServerSideEncryptionConfigurationNotFoundError: 404,
  ServiceUnavailable: 503,
  SignatureDoesNotMatch: 403,
  SlowDown: 503,
  XAmzContentSHA256Mismatch: 400,
} as const

export type S3Code = keyof typeof statuses

/** A failure in the words of S3. */
export class S3Error extends Error {
  override readonly name = 'S3Error'
  readonly code: S3Code
  readonly headers: Readonly<Record<string, string>>

  constructor(
    code: S3Code,
    message: string,
    options: ErrorOptions & { readonly headers?: Readonly<Record<string, string>> } = {},
  ) {
    super(message, options)
    this.code = code
    this.headers = options.headers ?? {}
  }

  get status(): number {
    return statuses[this.code]
  }

  /** The body of an answer. */
  xml(facts: { readonly resource: string; readonly requestId: string }): string {
    return xmlDocument('Error', {
      Code: this.code,
      Message: this.message,
      Resource: facts.resource,
      RequestId: facts.requestId,
    })
  }
}

/** A kind without a code does not compile. */
const codes = {
  'invalid-argument': 'InvalidArgument',
  'not-found': 'NoSuchKey',
  'already-exists': 'InvalidRequest',
  'failed-precondition': 'InvalidRequest',
  conflict: 'OperationAborted',
  'permission-denied': 'AccessDenied',
  'resource-exhausted': 'SlowDown',
  unavailable: 'ServiceUnavailable',
  cancelled: 'ServiceUnavailable',
  unimplemented: 'NotImplemented',
  'data-loss': 'InternalError',
} as const satisfies Record<ErrorKind, S3Code>

/** Errors that say more than their kind. */
function codeOf(error: DomainError): S3Code {
  if (
    error instanceof RepoNotFoundError ||
    error instanceof BranchNotFoundError ||
    error instanceof CommitNotFoundError ||
    error instanceof AncestorNotFoundError
  ) {
    return 'NoSuchBucket'
  }
  if (error instanceof FileNotFoundError || error instanceof IsADirectoryError) return 'NoSuchKey'
  if (error instanceof UploadNotFoundError) return 'NoSuchUpload'
  if (error instanceof BranchExistsError) return 'BucketAlreadyOwnedByYou'
  if (error instanceof BranchNotEmptyError) return 'BucketNotEmpty'
  return codes[error.kind]
}

/** `report` is told of errors that are bugs, and returns a reference to what it wrote down. */
export function s3ErrorOf(error: unknown, report: (error: unknown) => string): S3Error {
  if (error instanceof S3Error) return error
  if (error instanceof DomainError) {
    return new S3Error(codeOf(error), error.message, { cause: error })
  }
  if (error instanceof StatusError) return new S3Error('SlowDown', error.message, { cause: error })
  const reference = report(error)
  return new S3Error(
    'InternalError',
    `internal error (reference ${reference}; the server's log has the details)`,
    { cause: error },
  )
}
