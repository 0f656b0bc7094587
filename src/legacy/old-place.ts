import type { KeyPrefixes } from './stored-cluster.ts'

/** Where an old cluster is. */
export type OldPlace =
  | {
      readonly kind: 'stores'
      /** A snapshot file, or HOST:PORT of an etcd. */
      readonly etcd: string
      /** A directory, or the URL of a bucket. */
      readonly storage: string
      /** Those that are empty or missing are the usual ones. */
      readonly prefixes?: KeyPrefixes
    }
  /** Only its server can be reached. */
  | {
      readonly kind: 'server'
      readonly address: string
      /** What its access control knows us by; empty without one. */
      readonly token?: string
    }

/** Whether what names an etcd is an address rather than a file. */
export function isEtcdAddress(text: string): boolean {
  return /^(?:(?:http|etcd|grpc):\/\/\S+|[A-Za-z0-9._-]+:\d{1,5}|\[[0-9a-fA-F:]+\]:\d{1,5})$/.test(
    text,
  )
}
