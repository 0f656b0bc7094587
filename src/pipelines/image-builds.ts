import type { PipelineName } from '../base/names.ts'

/** A folder that an image is to be made of. */
export interface ImageBuild {
  readonly pipeline: PipelineName
  /** A tar archive, with a Dockerfile at its root. */
  readonly archive: AsyncIterable<Uint8Array>
  /** Called for each line that the engine prints. */
  readonly onLine: (line: string) => void
}

/** Makes images for pipelines, where there is something that can. */
export interface ImageBuilds {
  /**
   * Returns the name of the image; the same image has the same name.
   *
   * @throws {FailedPreconditionError} with the engine's words, or where there is no engine.
   */
  buildImage(build: ImageBuild, signal: AbortSignal): Promise<string>
}
