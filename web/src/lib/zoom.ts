import { select } from 'd3-selection';
import { zoom, type ZoomBehavior, zoomIdentity, type ZoomTransform } from 'd3-zoom';
import { type RefObject, useLayoutEffect, useRef, useState } from 'react';

export interface Zoom {
  readonly transform: ZoomTransform;
  readonly by: (factor: number) => void;
  readonly pan: (dx: number, dy: number) => void;
  readonly reset: () => void;
}

export interface ZoomBounds {
  /** Left, top, right and bottom of what is zoomed. */
  readonly box: readonly [number, number, number, number];
  readonly scale: readonly [least: number, most: number];
  /** Whether nothing but the box may ever be seen. */
  readonly isKept?: boolean;
}

/** Zoom by wheel (with Ctrl, or when the drawing has the focus), drag, pinch and whoever calls. A new turn each frame at most. */
export function useZoom(svg: RefObject<SVGSVGElement | null>, { box, scale, isKept = false }: ZoomBounds): Zoom {
  const [transform, setTransform] = useState<ZoomTransform>(zoomIdentity);
  const behavior = useRef<ZoomBehavior<SVGSVGElement, unknown>>(null);
  const [left, top, right, bottom] = box;
  const [least, most] = scale;
  // Before it is painted, so that no early key is lost.
  useLayoutEffect(() => {
    const element = svg.current;
    if (!element) return undefined;
    const extent: [[number, number], [number, number]] = [
      [left, top],
      [right, bottom],
    ];
    let frame = 0;
    const made = zoom<SVGSVGElement, unknown>()
      .extent(extent)
      .scaleExtent([least, most])
      .filter((event: Event) => {
        const hasFocus = element.parentElement?.contains(document.activeElement) ?? false;
        if (event.type === 'wheel') return hasFocus || (event as WheelEvent).ctrlKey;
        return !(event as MouseEvent).button;
      })
      .on('zoom', (event: { transform: ZoomTransform }) => {
        cancelAnimationFrame(frame);
        frame = requestAnimationFrame(() => setTransform(event.transform));
      });
    if (isKept) made.translateExtent(extent);
    behavior.current = made;
    const selection = select(element);
    selection.call(made).on('dblclick.zoom', null);
    return () => {
      cancelAnimationFrame(frame);
      selection.on('.zoom', null);
    };
  }, [svg, left, top, right, bottom, least, most, isKept]);
  const apply = (change: (made: ZoomBehavior<SVGSVGElement, unknown>, element: SVGSVGElement) => void) => {
    if (behavior.current && svg.current) change(behavior.current, svg.current);
  };
  return {
    transform,
    by: (factor) => apply((made, element) => made.scaleBy(select(element), factor)),
    pan: (dx, dy) => apply((made, element) => made.translateBy(select(element), dx / transform.k, dy / transform.k)),
    reset: () => apply((made, element) => made.transform(select(element), zoomIdentity)),
  };
}
