import type { Downstream, OnHeadReady } from '../versioning/ports.ts'

/** What versioning asks of the layer that runs jobs. */
export interface PipelinePorts {
  readonly onHeadReady: OnHeadReady
  readonly downstream: Downstream
}

/** No pipelines: commits are finished and nothing follows, but by hand. */
export const noPipelines: PipelinePorts = {
  onHeadReady: () => Promise.resolve(),
  downstream: { topics: [], state: () => Promise.resolve({ kind: 'pending' }) },
}
