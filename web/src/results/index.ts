export { default, type ResultViewProps } from './ResultView';
