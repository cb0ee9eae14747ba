// The loudspeaker, on the audio thread: a ring buffer that knows what it has played.
// A flush is obeyed in the next render quantum, and every 50 ms, and at the end, the samples really played are told.

const REPORT_S = 0.05;
const FADE_S = 0.003; // of what a flush cuts off, all of it in one render quantum: no click
const QUANTUM = 128; // samples
const NOTHING = new Float32Array(0);
const DECAY = 0.9; // per sample, from the last one on when the buffer runs dry: no click either
const INAUDIBLE = 1e-4;
const RING_S = 2; // the server keeps half a second here; the ring grows if it ever keeps more

class Playback extends AudioWorkletProcessor {
  constructor() {
    super();
    this.ring = new Float32Array(Math.ceil(sampleRate * RING_S));
    this.first = 0;
    this.count = 0;
    this.fading = NOTHING;
    this.last = 0;
    this.running = true;
    this.restart(0);
    this.port.onmessage = ({ data }) => this.receive(data);
  }

  /** @param {{pcm?: ArrayBuffer, flush?: number, running?: boolean}} message */
  receive({ pcm, flush, running }) {
    if (pcm !== undefined) this.write(new Int16Array(pcm));
    if (flush !== undefined) this.flush(flush);
    if (running !== undefined) this.running = running;
  }

  restart(number) {
    this.number = number;
    this.played = 0;
    this.reported = 0;
    this.energy = 0;
  }

  write(samples) {
    while (this.count + samples.length > this.ring.length) this.grow();
    let at = (this.first + this.count) % this.ring.length;
    for (let i = 0; i < samples.length; i++) {
      this.ring[at] = samples[i] / 32768;
      if (++at === this.ring.length) at = 0;
    }
    this.count += samples.length;
  }

  grow() {
    const larger = new Float32Array(2 * this.ring.length);
    larger.set(this.ring.subarray(this.first));
    larger.set(this.ring.subarray(0, this.first), this.ring.length - this.first);
    this.ring = larger;
    this.first = 0;
  }

  take(samples) {
    const taken = Math.min(samples.length, this.count);
    for (let i = 0; i < taken; i++) {
      samples[i] = this.ring[this.first];
      if (++this.first === this.ring.length) this.first = 0;
    }
    this.count -= taken;
    return taken;
  }

  flush(number) {
    if (this.count > 0) {
      this.fading = new Float32Array(Math.min(this.count, QUANTUM, Math.ceil(sampleRate * FADE_S)));
      this.take(this.fading);
      this.fading.forEach((sample, i) => (this.fading[i] = sample * (1 - (i + 1) / this.fading.length)));
    }
    this.count = 0;
    this.last = 0;
    this.restart(number);
  }

  process(_inputs, [output]) {
    const out = output[0];
    const taken = this.take(out);
    if (taken > 0) this.last = out[taken - 1];
    for (let i = taken; i < out.length; i++) out[i] = this.last = this.decay(this.last);
    for (let i = 0; i < this.fading.length; i++) out[i] += this.fading[i];
    this.fading = NOTHING;
    this.tell(out, taken);
    return this.running;
  }

  decay(sample) {
    return Math.abs(sample) < INAUDIBLE ? 0 : sample * DECAY;
  }

  tell(out, taken) {
    for (let i = 0; i < taken; i++) this.energy += out[i] * out[i];
    this.played += taken;
    const news = this.played - this.reported;
    if (news > 0 && (this.count === 0 || news >= sampleRate * REPORT_S)) {
      const level = Math.sqrt(this.energy / news);
      this.port.postMessage({ played: this.played, flush: this.number, level });
      this.reported = this.played;
      this.energy = 0;
    }
  }
}

registerProcessor("playback", Playback);
