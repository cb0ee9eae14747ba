// Put into a page before its own scripts, whatever page it is: hears what it hears and what it plays.
// Every microphone track is counted and, if asked for, followed; what is connected to an AudioContext's destination
// also goes into a tap.
// window.taps: captures (how many microphones were opened), live() (how many are open), take(kind) (the sound so far),
// room (the microphone hears say(wav), in base64, and nothing else: somebody speaks when the test wants it).
// A page with a Content-Security-Policy has to be opened with it bypassed: the tap's worklet comes from a blob.

(() => {
  if (!window.isSecureContext) return;

  function worklet() {
    class Tap extends AudioWorkletProcessor {
      process([input]) {
        const block = new Int16Array(128); // silent where nothing is connected
        input[0]?.forEach((sample, i) => (block[i] = Math.max(-1, Math.min(1, sample)) * 32767));
        this.port.postMessage({ pcm: block.buffer, time: Date.now() }, [block.buffer]);
        return true;
      }
    }
    registerProcessor("tap", Tap);
  }

  const url = URL.createObjectURL(new Blob([`(${worklet})()`], { type: "text/javascript" }));
  const microphone = { rate: 0, blocks: [] };
  const speakers = []; // one for each AudioContext: a page may have one that only takes the microphone
  const tracks = [];
  const contexts = new WeakMap(); // context -> promise of its tap
  const { connect } = AudioNode.prototype;

  async function tap(context) {
    await context.audioWorklet.addModule(url);
    const node = new AudioWorkletNode(context, "tap", { outputChannelCount: [1] });
    const speaker = { rate: context.sampleRate, blocks: [], sounds: false };
    speakers.push(speaker);
    node.port.onmessage = ({ data }) => {
      speaker.blocks.push(data);
      speaker.sounds ||= new Int16Array(data.pcm).some((sample) => sample !== 0);
    };
    connect.call(node, context.destination); // it is silent, and runs only if it is connected
    return node;
  }

  // As soon as any script can have it: an AudioContext of our own would hear the microphone later than the page's.
  async function follow(track) {
    const reader = new MediaStreamTrackProcessor({ track }).readable.getReader();
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      const time = Date.now();
      const signal = new Float32Array(value.numberOfFrames);
      value.copyTo(signal, { planeIndex: 0, format: "f32-planar" });
      microphone.rate = value.sampleRate;
      microphone.blocks.push({ pcm: Int16Array.from(signal, (x) => x * 32767).buffer, time });
      value.close();
    }
  }

  const Original = window.AudioContext;
  let mouth = null;

  function enter() {
    mouth ??= new MediaStreamAudioDestinationNode(new Original(), { channelCount: 1 });
    return mouth.stream.clone();
  }

  async function say(wav) {
    const bytes = Uint8Array.from(atob(wav), (char) => char.charCodeAt(0));
    const words = new AudioBufferSourceNode(mouth.context, { buffer: await mouth.context.decodeAudioData(bytes.buffer) });
    words.connect(mouth);
    words.start();
  }

  window.AudioContext = class extends Original {
    constructor(...options) {
      super(...options);
      contexts.set(this, tap(this));
    }
  };

  AudioNode.prototype.connect = function (target, ...rest) {
    if (target instanceof AudioDestinationNode && contexts.has(this.context)) {
      contexts.get(this.context).then((node) => connect.call(this, node));
    }
    return connect.call(this, target, ...rest);
  };

  const sockets = [];
  const OriginalSocket = window.WebSocket;
  window.WebSocket = class extends OriginalSocket {
    constructor(...where) {
      super(...where);
      sockets.push(this);
    }
  };

  const { getUserMedia } = MediaDevices.prototype;
  MediaDevices.prototype.getUserMedia = async function (wanted) {
    const raw = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };
    if (window.taps.unprocessed) wanted = { audio: { ...wanted.audio, ...raw } };
    const stream = window.taps.room ? enter() : await getUserMedia.call(this, wanted);
    tracks.push(...stream.getTracks());
    if (window.taps.hearMicrophone) void follow(stream.getAudioTracks()[0]);
    return stream;
  };

  window.taps = {
    hearMicrophone: false, // or else it is only counted
    unprocessed: false, // take the microphone as it is: for measurements
    room: false,
    say,
    sockets,
    track: () => tracks.at(-1),
    get captures() {
      return tracks.length;
    },
    live: () => tracks.filter((track) => track.readyState === "live").length,
    take: (kind) => {
      const heard = speakers.find(({ sounds }) => sounds) ?? speakers[0] ?? { rate: 0, blocks: [] };
      const { rate, blocks } = kind === "microphone" ? microphone : heard;
      const taken = blocks.splice(0);
      let text = "";
      for (const { pcm } of taken) text += String.fromCharCode(...new Uint8Array(pcm));
      return { rate, times: taken.map(({ time }) => time), pcm: btoa(text) };
    },
  };
})();
