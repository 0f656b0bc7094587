/** A store that was asked for a while, and has not answered, or cannot. */
export interface StoreWait {
  /** For people, such as `s3://bucket`. */
  readonly bucket: string
  readonly endpoint: string
  readonly waitedMs: number
  /** What the last attempt has failed with; undefined while the first one lasts. */
  readonly error: string | undefined
}

/** For people who wait. */
export function waitText({ bucket, endpoint, waitedMs, error }: StoreWait): string {
  const why = error ?? 'it has not answered yet'
  return `waiting for ${bucket} at ${endpoint} for ${Math.round(waitedMs / 1000)} s, and trying on: ${why}`
}
