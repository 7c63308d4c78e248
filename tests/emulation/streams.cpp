/*
 * Streams, events and graphs. Work on a stream is queued and runs when something waits for it, so that host code which
 * does not wait sees that it did not.
 */
#include "runtime.h"

namespace emu {
namespace {

void push(CUstream_st &stream, Work work) {
    stream.queue.push_back(std::move(work));
    stream.queued++;
}

void push_wait(CUstream_st &stream, const CUstream_st &other) {
    if (other.done < other.queued) push(stream, [id = other.id, position = other.queued] { drain(id, position); });
}

bool is_done(const CUevent_st &event) {
    const auto stream = state().by_id.find(event.stream);
    return stream == state().by_id.end() || stream->second->done >= event.position;
}

}  // namespace

CUstream_st *find(cudaStream_t stream) {
    State &s = state();
    if (!stream || stream == cudaStreamLegacy || stream == cudaStreamPerThread) return current_context().legacy;
    return s.streams.count(stream) ? stream : nullptr;
}

void drain(uint64_t id, uint64_t position) {
    State &s = state();
    const auto found = s.by_id.find(id);
    if (found == s.by_id.end()) return;  // destroyed, which drained it
    CUstream_st &stream = *found->second;
    if (stream.done >= position) return;
    const Open open;
    while (stream.done < position) {
        const Work work = std::move(stream.queue.front());
        stream.queue.pop_front();
        if (!s.sticky) work();
        stream.done++;
    }
}

void drain_all(const CUctx_st *context) {
    for (const auto &[id, stream] : std::map<uint64_t, cudaStream_t>(state().by_id)) {
        if (!context || stream->context == context) drain(id, stream->queued);
    }
}

void make_default_stream(CUctx_st *context) {
    State &s = state();
    context->legacy = new CUstream_st(s.next_id++, context, true);
    s.by_id[context->legacy->id] = context->legacy;
}

bool refused_by_capture(const CUstream_st *used) {
    bool refused = false;
    for (cudaStream_t stream : state().streams) {
        if (!stream->capture) continue;
        const bool mine = stream->thread == std::this_thread::get_id();
        if (stream != used && (stream->mode == cudaStreamCaptureModeRelaxed ||
                               (stream->mode == cudaStreamCaptureModeThreadLocal && !mine)))
            continue;
        stream->capture->invalidated = refused = true;
    }
    return refused;
}

cudaError_t add(cudaStream_t handle, Work work) {
    State &s = state();
    CUstream_st *stream = find(handle);
    if (!stream) return cudaErrorInvalidResourceHandle;
    if (s.sticky) return cudaErrorLaunchFailure;
    if (stream->capture) {
        stream->capture->nodes.push_back(std::move(work));
        return cudaSuccess;
    }
    if (stream == stream->context->legacy) {
        if (refused_by_capture(nullptr)) return cudaErrorStreamCaptureImplicit;
        for (cudaStream_t other : s.streams) {
            if (other->blocking && other->context == stream->context) push_wait(*stream, *other);
        }
    } else if (stream->blocking) {
        push_wait(*stream, *stream->context->legacy);
    }
    push(*stream, std::move(work));
    return cudaSuccess;
}

}  // namespace emu

using namespace emu;

cudaError_t cudaDeviceSynchronize() {
    EMU_ENTER;
    if (refused_by_capture(nullptr)) return done(cudaErrorStreamCaptureUnsupported);
    drain_all(&context);
    return done(cudaSuccess);
}

// ---- Streams and events

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned flags) {
    EMU_ENTER;
    if (!stream) return done(cudaErrorInvalidValue);
    *stream = new CUstream_st(s.next_id++, &context, !(flags & cudaStreamNonBlocking));
    s.streams.insert(*stream);
    s.by_id[(*stream)->id] = *stream;
    return done(cudaSuccess);
}
cudaError_t cudaStreamCreate(cudaStream_t *stream) { return cudaStreamCreateWithFlags(stream, cudaStreamDefault); }
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
    EMU_ENTER;
    if (!s.streams.count(stream)) return done(cudaErrorInvalidResourceHandle);
    drain(stream->id, stream->queued);
    s.by_id.erase(stream->id);
    s.streams.erase(stream);
    delete stream;
    return done(cudaSuccess);
}
cudaError_t cudaStreamSynchronize(cudaStream_t handle) {
    EMU_ENTER;
    CUstream_st *stream = find(handle);
    if (!stream) return done(cudaErrorInvalidResourceHandle);
    if (refused_by_capture(stream)) return done(cudaErrorStreamCaptureUnsupported);
    drain(stream->id, stream->queued);
    return done(cudaSuccess);
}
cudaError_t cudaStreamQuery(cudaStream_t handle) {  // each query lets one piece of work be done
    EMU_ENTER;
    CUstream_st *stream = find(handle);
    if (!stream) return done(cudaErrorInvalidResourceHandle);
    if (refused_by_capture(stream)) return done(cudaErrorStreamCaptureUnsupported);
    if (stream->done == stream->queued) return done(cudaSuccess);
    drain(stream->id, stream->done + 1);
    return done(cudaErrorNotReady);
}
cudaError_t cudaStreamWaitEvent(cudaStream_t handle, cudaEvent_t event, unsigned) {
    EMU_ENTER;
    CUstream_st *stream = find(handle);
    if (!stream || !s.events.count(event)) return done(cudaErrorInvalidResourceHandle);
    if (event->capture && event->capture != stream->capture) {
        if (stream->capture) return done(cudaErrorStreamCaptureUnsupported);
        stream->capture = event->capture;  // joins; nodes stay in the order they were added
        stream->mode = cudaStreamCaptureModeRelaxed;
    } else if (!event->capture && stream->capture) {
        return done(cudaErrorStreamCaptureIsolation);
    } else if (!event->capture && event->recorded) {
        push(*stream, [id = event->stream, position = event->position] { drain(id, position); });
    }
    return done(cudaSuccess);
}
cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned flags) {
    EMU_ENTER;
    *event = new CUevent_st;
    (*event)->timed = !(flags & cudaEventDisableTiming);
    s.events.insert(*event);
    return done(cudaSuccess);
}
cudaError_t cudaEventCreate(cudaEvent_t *event) { return cudaEventCreateWithFlags(event, cudaEventDefault); }
cudaError_t cudaEventDestroy(cudaEvent_t event) {
    EMU_ENTER;
    if (!s.events.erase(event)) return done(cudaErrorInvalidResourceHandle);
    delete event;
    return done(cudaSuccess);
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t handle) {
    EMU_ENTER;
    CUstream_st *stream = find(handle);
    if (!stream || !s.events.count(event)) return done(cudaErrorInvalidResourceHandle);
    event->capture = stream->capture;
    if (stream->capture) return done(cudaSuccess);
    event->time = std::make_shared<Clock::time_point>();
    if (const cudaError_t error = add(handle, [time = event->time] { *time = Clock::now(); })) return done(error);
    event->recorded = true;
    event->stream = stream->id;
    event->position = stream->queued;
    return done(cudaSuccess);
}
static cudaError_t wait_event(cudaEvent_t event, bool all) {
    EMU_ENTER;
    if (!s.events.count(event)) return done(cudaErrorInvalidResourceHandle);
    if (event->capture) return done(cudaErrorCapturedEvent);
    if (refused_by_capture(nullptr)) return done(cudaErrorStreamCaptureUnsupported);
    if (!event->recorded || is_done(*event)) return done(cudaSuccess);
    drain(event->stream, all ? event->position : s.by_id[event->stream]->done + 1);
    return done(all ? cudaSuccess : cudaErrorNotReady);
}
cudaError_t cudaEventSynchronize(cudaEvent_t event) { return wait_event(event, true); }
cudaError_t cudaEventQuery(cudaEvent_t event) { return wait_event(event, false); }
cudaError_t cudaEventElapsedTime(float *milliseconds, cudaEvent_t start, cudaEvent_t end) {
    EMU_ENTER;
    for (cudaEvent_t event : {start, end}) {
        if (!s.events.count(event) || !event->timed || !event->recorded) return done(cudaErrorInvalidResourceHandle);
        if (!is_done(*event)) return done(cudaErrorNotReady);
    }
    *milliseconds = std::chrono::duration<float, std::milli>(*end->time - *start->time).count();
    return done(cudaSuccess);
}

// ---- Graphs

cudaError_t cudaStreamBeginCapture(cudaStream_t handle, cudaStreamCaptureMode mode) {
    EMU_ENTER;
    CUstream_st *stream = find(handle);
    if (!stream) return done(cudaErrorInvalidResourceHandle);
    if (stream == context.legacy) return done(cudaErrorStreamCaptureUnsupported);
    if (stream->capture) return done(cudaErrorIllegalState);
    stream->capture = new CUgraph_st;
    stream->capture_origin = true;
    stream->mode = mode;
    stream->thread = std::this_thread::get_id();
    s.graphs.insert(stream->capture);
    return done(cudaSuccess);
}
cudaError_t cudaStreamEndCapture(cudaStream_t handle, cudaGraph_t *graph) {
    EMU_ENTER;
    CUstream_st *stream = find(handle);
    if (!stream || !graph) return done(cudaErrorInvalidValue);
    if (!stream->capture || !stream->capture_origin) return done(cudaErrorIllegalState);
    *graph = stream->capture;
    stream->capture_origin = false;
    for (cudaStream_t each : s.streams) {
        if (each->capture == *graph) each->capture = nullptr;
    }
    for (cudaEvent_t each : s.events) {
        if (each->capture == *graph) each->capture = nullptr;
    }
    if (!(*graph)->invalidated) return done(cudaSuccess);
    cudaGraphDestroy(*graph);
    *graph = nullptr;
    return done(cudaErrorStreamCaptureInvalidated);
}
cudaError_t cudaStreamIsCapturing(cudaStream_t handle, cudaStreamCaptureStatus *status) {
    EMU_ENTER;
    CUstream_st *stream = find(handle);
    if (!stream) return done(cudaErrorInvalidResourceHandle);
    *status = !stream->capture               ? cudaStreamCaptureStatusNone
              : stream->capture->invalidated ? cudaStreamCaptureStatusInvalidated
                                             : cudaStreamCaptureStatusActive;
    return done(cudaSuccess);
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t *exec, cudaGraph_t graph, unsigned long long) {
    EMU_ENTER;
    if (!exec || !s.graphs.count(graph)) return done(cudaErrorInvalidValue);
    *exec = new CUgraphExec_st{std::make_shared<const std::vector<Work>>(graph->nodes)};
    s.execs.insert(*exec);
    return done(cudaSuccess);
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream) {
    EMU_ENTER;
    if (!s.execs.count(exec)) return done(cudaErrorInvalidValue);
    return done(add(stream, [nodes = exec->nodes] {
        for (const Work &node : *nodes) {
            if (!reported()) node();
        }
    }));
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec) {
    EMU_ENTER;
    if (!s.execs.erase(exec)) return done(cudaErrorInvalidValue);
    delete exec;
    return done(cudaSuccess);
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
    EMU_ENTER;
    if (!s.graphs.erase(graph)) return done(cudaErrorInvalidValue);
    delete graph;
    return done(cudaSuccess);
}
